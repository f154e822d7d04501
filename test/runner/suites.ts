/** Which test files run when, and what a run needs beyond Node. */

/** `npm test`, what it leaves to `npm run test:full`, and the container image's tests. */
export type Suite = 'test' | 'full' | 'container';

/**
 * What takes too long for `npm test`: files, or folders, by their path below test/, with what they are for. A sample of most of
 * it is in files that `npm test` runs.
 */
export const FULL_ONLY: Readonly<Record<string, string>> = {
  'attacks/': 'what a role, a client, a remote or a fake primary can try',
  'bridge/definers': 'functions that have the rights of others',
  'bridge/extension/dump': 'what pg_dump and pg_restore make of it',
  'bridge/extension/extension.': 'CREATE EXTENSION and its like in every form',
  'bridge/foreignServers': 'foreign servers in every way to name one, with every account',
  'bridge/extension/install': 'install and uninstall on both majors',
  'bridge/largeObjects': 'answers of every size at every level',
  'bridge/security': 'forged requests, answers, locks, rights',
  'bridge/extension/upgrade': 'a bridge of another version',
  'chaos/':
    'faults of the network, of servers, of the clock and of a disk in any phase of a call, for a short time',
  'differential/forced': 'a larger sample of the cases, with every call through the bridge',
  'differential/batches': 'batches of the extended protocol in random order and parts',
  'differential/malformed': 'wrong messages of the extended protocol for statements with calls',
  'differential/older': 'a larger sample of the cases on the older major',
  'differential/whole': 'every case in a core variant, and generated ones',
  'drivers/': 'every driver plays every flow',
  'faults/bridge/bridgeCampaign': 'faults at random moments',
  'faults/bridge/bridgeCancel': 'cancels of bridged statements in every form',
  'faults/bridge/bridgeMany': 'hundreds of sessions with bridged calls',
  'faults/bridge/bridgeMemory': 'memory with large bridged results',
  'faults/bridge/callCancel': 'cancels and time limits of calls that wait, in every form',
  'faults/bridge/callMemory': 'memory with results that nobody takes',
  'faults/hostileRemote': 'remotes that lie',
  'faults/bridge/interrupts': 'cancels at the primary itself at random moments',
  'faults/bridge/isolation': 'two hundred sessions',
  'faults/memory': 'memory with slow readers of every plan',
  'faults/bridge/serviceLoss': 'service connections that are lost again and again',
  'faults/sessionEnd': 'sessions that end in every way and state',
  'fuzz/': 'the fuzzer for a short time',
  'programs/older': 'programs that people install, on the older major',
  'soak/soak.': 'many clients with mixed work for half a minute',
  'relay/life/replaced': 'processes that replace one another, under pgbench',
  'relay/refusals': 'what PostgreSQL refuses, in every state of a session',
  'relay/memory': 'memory with slow readers of forwarded results',
  'relay/tools': 'PostgreSQL’s own programs',
};

/**
 * Files that measure how much one session is delayed by others, and so run when no other file does, and up to three times where they
 * fail: whatever else the machine does can only make a delay longer.
 */
const ALONE: readonly string[] = [
  'attacks/delays',
  'attacks/flood',
  'attacks/loop.',
  'attacks/remote',
  'attacks/servers/auditTexts',
  'fuzz/',
];

export const runsAlone = (file: string): boolean => ALONE.some((prefix) => file.startsWith(prefix));

/** The suite that a file belongs to. */
export function suiteOf(file: string): Suite {
  if (file.startsWith('container/')) return 'container';
  return Object.keys(FULL_ONLY).some((prefix) => file.startsWith(prefix)) ? 'full' : 'test';
}
