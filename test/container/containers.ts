import path from 'node:path';
import {
  type ExecResult,
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';

/** The repository's root, seen from dist/test/container. */
export const repository = path.resolve(import.meta.dirname, '../../..');

/** Where the image keeps the application. */
export const applicationFolder = '/opt/dblink-proxy';

/** The password of every PostgreSQL user in these tests; the containers are reachable from this machine only. */
export const password = "it's secret";

const postgresImage = process.env['CONTAINER_TEST_POSTGRES_IMAGE'] ?? 'postgres:17';

/** The reason why no container can be started, or undefined where a container engine answers. */
export async function missingEngine(): Promise<string | undefined> {
  try {
    await getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    return `no container engine: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * Builds the image from the repository's Dockerfile, on the base image named by CONTAINER_TEST_NODE_IMAGE or else the
 * Dockerfile's own, and returns its name. With CONTAINER_TEST_IMAGE, or CONTAINER_TEST_IMAGE_WITHOUT_SHELL, nothing is built: the test
 * takes that image.
 */
export async function buildImage({ shell }: { readonly shell: boolean }): Promise<string> {
  const given = process.env[shell ? 'CONTAINER_TEST_IMAGE' : 'CONTAINER_TEST_IMAGE_WITHOUT_SHELL'];
  if (given !== undefined && given !== '') return given;
  const base = process.env['CONTAINER_TEST_NODE_IMAGE'];
  const name = `localhost/dblink-proxy:container-test${shell ? '' : '-without-shell'}`;
  try {
    await GenericContainer.fromDockerfile(repository)
      .withBuildArgs({
        ...(base === undefined || base === '' ? {} : { BASE_IMAGE: base }),
        ...(shell ? {} : { RUNTIME_IMAGE: 'without-shell' }),
      })
      .build(name);
  } catch (cause) {
    throw new Error('the image was not built; DEBUG=testcontainers:build shows the build log', { cause });
  }
  return name;
}

/** A PostgreSQL server with one database, reached by its address on the engine's default network. */
export async function startPostgres(database: string): Promise<StartedTestContainer> {
  return new GenericContainer(postgresImage)
    .withEnvironment({ POSTGRES_PASSWORD: password, POSTGRES_DB: database })
    .withHealthCheck({
      // Over TCP: the official image's first, temporary server listens on its Unix socket alone.
      test: ['CMD-SHELL', 'pg_isready --quiet --host=127.0.0.1'],
      interval: 500,
      timeout: 5_000,
      retries: 120,
    })
    .withWaitStrategy(Wait.forHealthCheck())
    .withStartupTimeout(120_000)
    .start();
}

/** Removes the files of the dblink extension from a running server, as on a primary that does not offer it. */
export async function removeDblink(server: StartedTestContainer): Promise<void> {
  const files = "find / -xdev \\( -path '*/extension/dblink*' -o -name 'dblink.so' \\) -print -delete";
  const { output, exitCode } = await server.exec(['sh', '-c', files], { user: 'root' });
  if (exitCode !== 0 || !output.includes('dblink.so')) throw new Error(`dblink was not removed: ${output}`);
}

/** The application: a container that does nothing but knows the servers' names and has psql. */
export async function startApplication(hosts: Record<string, string>): Promise<StartedTestContainer> {
  return new GenericContainer(postgresImage)
    .withEntrypoint(['sleep'])
    .withCommand(['infinity'])
    .withExtraHosts(Object.entries(hosts).map(([host, ipAddress]) => ({ host, ipAddress })))
    .start();
}

/** What a sidecar is started with. */
export interface SidecarOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Content of /etc/dblink-proxy/config.yaml; without it the image's own, empty one is used. */
  readonly config?: string;
  readonly command?: readonly string[];
  /** As a hardened deployment starts it: read-only root file system, no capabilities, no new privileges. */
  readonly hardened?: boolean;
}

class SidecarContainer extends GenericContainer {
  /** Leaves the image's health check as it is, but runs it every second. */
  checkOften(): this {
    this.createOpts.Healthcheck = { Interval: 1_000_000_000 };
    return this;
  }

  readOnlyRoot(): this {
    this.hostConfig.ReadonlyRootfs = true;
    return this;
  }
}

/** The proxy in the application's network namespace, started and found healthy by the image's own health check. */
export async function startSidecar(
  image: string,
  application: StartedTestContainer,
  options: SidecarOptions,
): Promise<StartedTestContainer> {
  const sidecar = new SidecarContainer(image)
    .withNetworkMode(`container:${application.getId()}`)
    .withEnvironment({ ...options.environment })
    .withWaitStrategy(Wait.forHealthCheck())
    .withStartupTimeout(60_000)
    .withAutoRemove(false)
    .checkOften();
  if (options.command !== undefined) sidecar.withCommand([...options.command]);
  if (options.config !== undefined) {
    sidecar.withCopyContentToContainer([
      { content: options.config, target: '/etc/dblink-proxy/config.yaml' },
    ]);
  }
  if (options.hardened === true) {
    sidecar.readOnlyRoot().withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges');
  }
  const lines: string[] = [];
  sidecar.withLogConsumer((stream) => stream.on('data', (line) => lines.push(String(line))));
  try {
    return await sidecar.start();
  } catch (cause) {
    throw new Error(`the sidecar did not become healthy; its log:\n${lines.join('')}`, { cause });
  }
}

/** Stops a container as `docker stop` does, removes it and returns its exit code. */
export async function stopAndGetExitCode(container: StartedTestContainer): Promise<number> {
  const { container: containers } = await getContainerRuntimeClient();
  const raw = containers.getById(container.getId());
  await raw.stop({ t: 10 });
  const { State } = await raw.inspect();
  await raw.remove({ v: true });
  return State.ExitCode;
}

/** The configuration part of an image's description. */
export async function inspectImage(
  image: string,
): Promise<{ User: string; Labels: Readonly<Record<string, string>> }> {
  const { container: containers } = await getContainerRuntimeClient();
  const { Config } = await containers.dockerode.getImage(image).inspect();
  return { User: Config.User, Labels: Config.Labels ?? {} };
}

/**
 * Runs statements through psql in one session, from inside a container, and returns what psql prints: rows with `|`
 * between columns, command tags, errors. Stops at the first error with exit code 3.
 */
export async function psql(
  container: StartedTestContainer,
  target: { readonly host: string; readonly port?: number; readonly database: string },
  statements: readonly string[],
): Promise<ExecResult> {
  const { host, port = 5432, database } = target;
  return container.exec(
    [
      'psql',
      ...['--no-psqlrc', '--no-align', '--tuples-only', '--set=ON_ERROR_STOP=1', '--set=VERBOSITY=verbose'],
      ...[`--host=${host}`, `--port=${port}`, `--dbname=${database}`, '--username=postgres'],
      ...statements.map((statement) => `--command=${statement}`),
    ],
    { env: { PGPASSWORD: password, PGCONNECT_TIMEOUT: '10' } },
  );
}
