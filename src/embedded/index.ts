export { clusterKey, clusterTemplate } from './cluster.js';
export { type Demo, startDemo } from './demo.js';
export { EmbeddedError } from './errors.js';
export { freePort } from './freePort.js';
export { installationKey, prepareBinaries } from './installation.js';
export type { PostgresInstallation } from './packages.js';
export { PREPARED_VARIABLE, type Prepared } from './prepared.js';
export { PRIMARY_DATABASE, type SampleStatement, sampleStatements } from './sample.js';
export { type PostgresOptions, type PostgresServer, type StopMode, startPostgres } from './server.js';
