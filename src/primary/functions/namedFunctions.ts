import { type FoundFunction, type FoundFunctions, type Grounds, groundsText } from './foundFunctions.js';
import { type BridgeFingerprint, functionRights, functionsQuery } from './functionQueries.js';

/**
 * How long an answer is used in a session while the probe shows no change. The probe does not show everything: memberships of roles
 * decide about privileges, too.
 */
const GOOD_MS = 5000;

type Row = readonly (string | undefined)[];

/** Asks the primary one thing. @returns the rows of the answer */
type Ask = (sql: string) => Promise<readonly Row[]>;

/** What a session that begins knows of its circumstances, for a look at what others have found. */
export interface Beginning {
  /** The primary's major version. */
  readonly major: number;
  /** The `functionRights` of all functions. */
  readonly rights: readonly string[];
  /** These with all else that decides about the answer. */
  readonly grounds: Grounds;
  /** Asks for the circumstances once more. */
  readonly again: () => Promise<Grounds>;
}

/** Knows the functions whose names begin with dblink, for one session. The question is slow, so it is asked only when it has to be. */
export class NamedFunctions {
  /** The last answer, the probe's fingerprint to which it belongs, and the time in ms until which it is used. */
  #last:
    | { readonly fingerprint: string; readonly functions: readonly FoundFunction[]; readonly until: number }
    | undefined;

  /** @param shared undefined for a session of which it is not certain that the primary answers it */
  constructor(
    private readonly bridge: BridgeFingerprint,
    private readonly shared: FoundFunctions | undefined,
  ) {}

  /** Whether what others have found may be used: nothing has been asked yet. */
  get begins(): boolean {
    return this.#last === undefined && this.shared !== undefined;
  }

  /**
   * The functions: the same object as before if nothing has changed.
   * @param fingerprint the probe's @param beginning if it was asked for with the fingerprint
   * @throws PgError what the primary raised
   */
  async get(
    fingerprint: string,
    beginning: Beginning | undefined,
    ask: Ask,
  ): Promise<readonly FoundFunction[]> {
    const last = this.#last;
    if (last?.fingerprint === fingerprint && last.until > performance.now()) return last.functions;
    const known = beginning && this.shared?.get(beginning.grounds);
    const answer = known ?? (await this.#ask(ask, beginning));
    const isSame = last !== undefined && JSON.stringify(answer) === JSON.stringify(last.functions);
    const functions = isSame ? last.functions : answer;
    this.#last = { fingerprint, functions, until: performance.now() + GOOD_MS };
    return functions;
  }

  /**
   * Other sessions may have the answer only if it belongs to the circumstances for certain: they are the same behind it as before it, and
   * it says itself which rights it saw, since rights can be given and taken away again in between.
   */
  async #ask(ask: Ask, beginning: Beginning | undefined): Promise<readonly FoundFunction[]> {
    if (beginning === undefined) return (await ask(functionsQuery(this.bridge))).map(namedFunction);
    const asked = ask(functionsQuery(this.bridge, functionRights(beginning.major)));
    // Without that answer there is nothing to share.
    const again = beginning.again().catch(() => undefined);
    const rows = await asked;
    const functions = rows.map(namedFunction);
    const rights = new Set(beginning.rights);
    const belongs = rows.every(([, , , , , , , seen = '']) => rights.has(seen));
    // Who is a superuser decides about the bridge's functions of other versions, and is not among the circumstances.
    const isOtherVersion = ([, , , , , , flag]: Row): boolean => flag === 't';
    const behind = await again;
    const isSteady = behind !== undefined && groundsText(behind) === groundsText(beginning.grounds);
    if (belongs && isSteady && !rows.some(isOtherVersion)) this.shared?.set(beginning.grounds, functions);
    return functions;
  }
}

const namedFunction = ([schema, name, types, visible, executable, kind = '']: readonly (
  | string
  | undefined
)[]): FoundFunction => ({
  schema: schema ?? '',
  name: name ?? '',
  argumentTypes: (types ?? '').split(' ').filter(Boolean).map(Number),
  visible: visible === 't',
  executable: executable === 't',
  kind,
});
