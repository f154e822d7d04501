import type { NamedFunction } from '../../primary/functions/foundFunctions.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { ExtensionCommand, Statement } from '../../sql/index.js';
import type { PgError } from '../../wire/errors.js';
import { NeedsBridge, Untrusted } from '../failures.js';
import { bridgeOf, isNative, isShadowed, untrustedOf } from './meantFunctions.js';
import { notPrivileged, privileged } from './privileges.js';

/** The primary gets the statement. */
interface Relay {
  readonly plan: 'relay';
  /**
   * `none`: the statement goes as it is. `lookup`: it looks up the extension, and is changed so that it finds the bridge. `block`: it
   * creates the extension in a DO block, and is changed so that it makes the bridge's functions.
   * `refusal`: the primary refuses it, and the error may have to be changed to that of a server with the extension.
   */
  readonly change: 'none' | 'lookup' | 'block' | 'refusal';
  /** Its calls are the extension's to carry out. */
  readonly toExtension?: true;
  readonly why: string;
}

/** What is done when it turns out, while a statement is carried out, that only the bridge can serve it (see Bridged, Refuse). */
export type Otherwise = 'installed' | 'temporary' | 'refuse';

/** The proxy carries the calls out by itself and synthesises the result. */
interface Answer {
  readonly plan: 'answer';
  readonly otherwise: Otherwise;
}

/** The rows of the one source go to the client as they arrive. If their types do not allow that, it becomes a splice. */
interface Stream {
  readonly plan: 'stream';
  readonly otherwise: Otherwise;
  readonly why: string;
}

/** The primary finishes the statement with the rows and values of the calls. */
interface Splice {
  readonly plan: 'splice';
  readonly otherwise: Otherwise;
  readonly why: string;
}

/**
 * The primary runs the statement, and the bridge's functions in it ask for the calls. `installed`: the functions are those in the
 * database. `temporary`: the session makes itself temporary ones first. `extension`: the statement is a command about the
 * extension, and the bridge's functions stand for that.
 */
export type Bridged =
  | { readonly plan: 'bridge'; readonly by: 'installed' | 'temporary'; readonly why: string }
  | {
      readonly plan: 'bridge';
      readonly by: 'extension';
      readonly command: ExtensionCommand;
      readonly why: string;
    };

/** Nothing serves the statement. */
interface Refuse {
  readonly plan: 'refuse';
  /** `parameter` stands for 42P02, for a $n in a Query message. Its position in the text is not known here. */
  readonly error: PgError | 'parameter';
  readonly why: string;
}

/** How a statement is to be served, with what that needs, and why nothing faster serves it. */
export type Verdict = Relay | Answer | Stream | Splice | Bridged | Refuse;

/** What the decision depends on, beside the statement itself. */
export interface Circumstances {
  readonly facts: SessionFacts;
  /** The session has a bridge, which functions of the primary can ask. */
  readonly hasBridge: boolean;
  /** Calls that mean the extension's own functions are left to the extension, where the primary has it. */
  readonly leaveToExtension: boolean;
  /** Whatever the bridge can serve goes by way of the bridge. */
  readonly bridgeOnly: boolean;
  /** There are other statements in the same Query. */
  readonly several: boolean;
  /** A transaction is open, so the session cannot make itself temporary functions. */
  readonly tooLate: boolean;
  /** Nothing of the statement has to be left to the primary: no transaction is open, and all arguments are at hand. */
  readonly answerable: boolean;
  /** The statement asks for its own text. */
  readonly asksOwnText: boolean;
  /** Some call fits no signature, as far as types are known beforehand. */
  readonly fitsNone: boolean;
  /** The statement is prepared with the extended protocol. Its privileges are looked at when it is bound. */
  readonly prepared: boolean;
}

/**
 * Decides what can be decided without asking the primary.
 * @param failed whether the transaction has failed
 * @returns undefined when `decide` has to decide
 */
export function decideByText(
  { calls, shape }: Statement,
  failed: boolean,
): Relay | (Bridged & { by: 'extension' }) | undefined {
  if (calls.length === 0 && shape.kind === 'none') return relay('it has no call of dblink');
  if (failed) return relay('the transaction has failed');
  if (shape.kind !== 'extension') return undefined;
  return { plan: 'bridge', by: 'extension', command: shape.command, why: 'it is about the extension' };
}

/**
 * Decides how a statement with calls of dblink is served.
 * @returns the fastest plan that gives what the extension would give
 */
export function decide(statement: Statement, circumstances: Circumstances): Verdict {
  const { facts, hasBridge, prepared, tooLate } = circumstances;
  const { shape } = statement;
  if (shape.kind === 'lookup') return relay('it looks up the extension', hasBridge ? 'lookup' : 'none');
  if (shape.kind === 'block') return relay('it creates the extension', hasBridge ? 'block' : 'none');
  if (shape.kind === 'ambiguous') return relay('a call fits several signatures', 'refusal');
  if (isShadowed(statement, facts.shadowing)) return relay("a call means a function of the user's own");
  if (circumstances.leaveToExtension && isNative(statement, facts.native))
    return { ...relay('its calls are left to the extension'), toExtension: true };
  const names = bridgeOf(statement, facts);
  const untrusted = untrustedOf(statement, facts);
  if (untrusted !== undefined && names !== 'none') return refuseUntrusted(untrusted);
  const bridged = names === 'bridged' && hasBridge;
  if (names === 'elsewhere') return relay('PostgreSQL finds no function of the bridge by these names');
  if (bridged) {
    const why = needsInstalled(statement, circumstances);
    if (why !== undefined) return { plan: 'bridge', by: 'installed', why };
  }
  const otherwise = bridged ? 'installed' : names === 'none' || prepared ? 'temporary' : 'refuse';
  if (shape.kind === 'bridge') return bridgeFor(shape.reason, bridged ? 'installed' : 'temporary', tooLate);
  if (!prepared && statement.parameters > 0)
    return { plan: 'refuse', error: 'parameter', why: 'a Query has no parameters' };
  if (circumstances.fitsNone) return relay('a call fits no signature', 'refusal');
  if (prepared) {
    // When the statement is executed it is too late for temporary functions.
    const name = bridged || tooLate ? undefined : skippable(statement);
    if (name !== undefined) return bridgeFor(`${name}() where PostgreSQL may skip it`, 'temporary', false);
  } else {
    const refused = privileged(statement, facts);
    if (refused !== undefined) return refuseUnprivileged(refused);
  }
  if (shape.kind === 'answer' && circumstances.answerable) return { plan: 'answer', otherwise };
  if (shape.kind === 'stream') return { plan: 'stream', otherwise, why: 'it has a source' };
  return { plan: 'splice', otherwise, why: spliceReason(statement) };
}

/**
 * Decides again, because it has turned out, while the statement was carried out, that only a bridge can serve it.
 * @param otherwise of the first verdict
 * @param why a noun phrase: what cannot be served otherwise
 */
export function decideAgain(otherwise: Otherwise, why: string, tooLate: boolean): Bridged | Refuse {
  return otherwise === 'refuse' ? refuseForBridge(why) : bridgeFor(why, otherwise, tooLate);
}

function bridgeFor(why: string, by: 'installed' | 'temporary', tooLate: boolean): Bridged | Refuse {
  return by === 'temporary' && tooLate ? refuseForBridge(why) : { plan: 'bridge', by, why };
}

const relay = (why: string, change: Relay['change'] = 'none'): Relay => ({ plan: 'relay', change, why });

const refuseForBridge = (why: string): Refuse => ({ plan: 'refuse', error: new NeedsBridge(why), why });

const refuseUntrusted = (found: NamedFunction): Refuse => ({
  plan: 'refuse',
  error: new Untrusted(found),
  why: "a function of dblink's name is not known to be the bridge's",
});

const refuseUnprivileged = (name: string): Refuse => ({
  plan: 'refuse',
  error: notPrivileged(name),
  why: 'the role may not execute it',
});

/** Why a statement has to go by way of the installed functions, though another plan might serve it. Undefined if it need not. */
function needsInstalled(statement: Statement, circumstances: Circumstances): string | undefined {
  const { bridgeOnly, several, prepared, facts, asksOwnText } = circumstances;
  // dblink_current_query() returns the whole Query. Of several statements in it, the bridge knows only the one that it runs in.
  const asksQuery = !prepared && statement.calls.some(({ name }) => name === 'dblink_current_query');
  if (bridgeOnly && !(asksQuery && several)) return 'the configuration wants it';
  // That the role may execute a function of this name proves nothing, since the role may have made the function itself.
  if (privileged(statement, facts) !== undefined) return 'it has to be seen who has made the function';
  return asksOwnText ? 'it asks for its own text' : undefined;
}

/** A function that must not be called before the statement runs, because PostgreSQL may leave the call out. */
const skippable = ({ calls }: Statement): string | undefined =>
  calls.find(({ certain, name, use }) => use.kind === 'source' && !certain && name !== 'dblink')?.name;

/** Whether PostgreSQL may leave out a source that is not a call of dblink() itself. */
export const maySkipSource = (statement: Statement): boolean => skippable(statement) !== undefined;

function spliceReason({ calls, shape }: Statement): string {
  if (shape.kind === 'answer') return 'the primary takes part in it';
  return calls.some(({ use }) => use.kind === 'source')
    ? 'it does more with a source'
    : 'it does more with a value';
}
