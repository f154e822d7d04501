/** What is missing. */
const COUNT =
  'the number of sessions in a database, in an error: the connection by which the call is answered counts';
const EVENTS = 'event triggers see nothing of the bridge, and CREATE EXTENSION as one command';

/**
 * Steps in which the proxy is not yet like the extension, by program and title, with what is missing. A step that has begun to
 * pass fails the test until it is removed here. Nothing may be added to make a test pass.
 */
export const PENDING: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ddlAudit: {
    'the extension is dropped and made again': EVENTS,
  },
  templateHarness: {
    "a copy of the harness's own database": COUNT,
  },
};
