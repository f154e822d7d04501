/**
 * How a statement is served. The name appears in logs.
 *
 * - `relay`: the primary gets the client's bytes
 * - `answer`: carried out by the proxy alone, the result synthesised
 * - `stream`: the remote's rows go to the client as they arrive
 * - `splice`: the primary finishes the statement with the rows and values of the calls
 * - `bridge`: the primary runs the statement, and the bridge's functions in it ask for the calls
 * - `refuse`: nothing serves it exactly (0A000)
 */
export type Plan = 'relay' | 'answer' | 'stream' | 'splice' | 'bridge' | 'refuse';
