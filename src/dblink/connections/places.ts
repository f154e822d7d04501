import { isIP, SocketAddress as NumericAddress } from 'node:net';
import type { SocketAddress } from '../../wire/address.js';
import { LimitReached, PgError } from '../../wire/errors.js';
import { type TurnLimits, Turns } from '../../wire/pace/turns.js';

/** Gives back a place. Only the first call does something. */
export type Leave = () => void;

/** After so long the client is told that its call waits. */
export const TOLD_AFTER_MS = 5000;

/** Who wants a place. */
export interface Claim {
  /** The client's session, also for those that are nested in it. Owners take turns. */
  readonly owner: object;
  /** The session whose call it is. */
  readonly session: object;
  /** Whether the connection stays open behind the call. */
  readonly lasting: boolean;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Takes a NOTICE that the client is to get. */
  readonly notice: (notice: PgError) => void;
}

/** The places of one key. */
interface Key {
  readonly turns: Turns;
  /** Places of connections that stay open, by owner, and of those that serve a single call, by session. */
  readonly lasting: Map<object, number>;
  readonly passing: Map<object, number>;
}

/**
 * Places of which there are so many for each key, such as a server. Who finds none waits for one. Owners take turns, so that one that
 * wants many does not delay one that wants one.
 */
export class Places {
  readonly #keys = new Map<string, Key>();

  /**
   * @param setting the limit's name below `limits`
   * @param limit for each key; 0 for none
   * @param waitMs how long a claim waits for what others hold; 0: until its signal
   */
  constructor(
    private readonly setting: string,
    private limit: number,
    private waitMs: number,
  ) {}

  /** Has other limits from now on. Connections that are open stay open. See the constructor. */
  change(limit: number, waitMs: number): void {
    this.limit = limit;
    this.waitMs = waitMs;
    for (const { turns } of this.#keys.values()) turns.limit(this.#turnLimits);
  }

  get #turnLimits(): TurnLimits {
    const most = this.limit === 0 ? Number.POSITIVE_INFINITY : this.limit;
    return { total: most, perOwner: most };
  }

  /** Takes a place if one is free. @returns what gives it back */
  tryTake(key: string, claim: Claim): Leave | undefined {
    const own = this.#of(key);
    const end = own.turns.tryTake(claim.owner);
    return end && this.#held(key, own, claim, end);
  }

  /**
   * Takes a place as soon as one is free.
   * @param yieldPlaces has connections at this key end that nobody uses; called once the claim is in the line
   * @returns what gives it back
   * @throws PgError 53300 when the time is up, or at once when the owner has all of them; the signal's reason
   */
  async take(key: string, claim: Claim, yieldPlaces: (key: string) => void = () => {}): Promise<Leave> {
    const free = this.tryTake(key, claim);
    if (free !== undefined) return free;
    const own = this.#of(key);
    // Nobody else can end these.
    if ((own.lasting.get(claim.owner) ?? 0) >= this.limit) throw this.#tooMany();
    const timeUp = new AbortController();
    let clock: NodeJS.Timeout | undefined;
    const start = (): void => {
      if (this.waitMs > 0) clock = setTimeout(expire, this.waitMs);
    };
    // What serves single calls of the same statement ends by itself: natively they come one after another.
    const expire = (): void => (own.passing.has(claim.session) ? start() : timeUp.abort(this.#tooMany()));
    start();
    const told = setTimeout(() => claim.notice(this.#waits()), TOLD_AFTER_MS);
    try {
      const turn = own.turns.take(claim.owner, AbortSignal.any([claim.signal, timeUp.signal]));
      yieldPlaces(key);
      return this.#held(key, own, claim, await turn);
    } finally {
      clearTimeout(clock);
      clearTimeout(told);
      this.#forget(key, own);
    }
  }

  /** Whether somebody waits for a place. */
  awaited(key: string): boolean {
    return this.#keys.get(key)?.turns.waiting === true;
  }

  #of(key: string): Key {
    let own = this.#keys.get(key);
    if (own === undefined) {
      const turns = new Turns(this.#turnLimits);
      own = { turns, lasting: new Map(), passing: new Map() };
      this.#keys.set(key, own);
    }
    return own;
  }

  #held(key: string, own: Key, { lasting, owner, session }: Claim, end: () => void): Leave {
    const [counts, holder] = lasting ? [own.lasting, owner] : [own.passing, session];
    counts.set(holder, (counts.get(holder) ?? 0) + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const rest = counts.get(holder)! - 1;
      if (rest > 0) counts.set(holder, rest);
      else counts.delete(holder);
      end();
      this.#forget(key, own);
    };
  }

  #forget(key: string, own: Key): void {
    if (own.turns.idle) this.#keys.delete(key);
  }

  #tooMany(): PgError {
    return new LimitReached(
      `limits.${this.setting}`,
      '53300',
      `too many dblink connections: ${this.#limits()}`,
      {
        hint: `Close connections with dblink_disconnect(), or raise "limits.${this.setting}" or "timeouts.remote_wait".`,
      },
    );
  }

  #waits(): PgError {
    return new PgError('00000', `waiting for a dblink connection: ${this.#limits()}`, { severity: 'NOTICE' });
  }

  #limits(): string {
    return `the setting "limits.${this.setting}" of the proxy is ${this.limit}`;
  }
}

/** What tells a server from others: its address and port in one form, or the path of its socket. */
export function placeOf(address: SocketAddress): string {
  if ('path' in address) return address.path;
  const { host, port } = address;
  if (isIP(host) !== 6 || host.includes('%')) return `${host} ${port}`;
  const numeric = new NumericAddress({ address: host, family: 'ipv6' }).address;
  return `${numeric.replace(/^::ffff:(?=[\d.]+$)/, '')} ${port}`;
}
