// Imported first and on its own: it acts on what is loaded after it.
import './v8.js';

import { Command, CommanderError, Option } from 'commander';
import { type Config, ConfigError, loadConfig, type Setting, settings } from '../src/config/index.js';
import { version } from '../src/server/observe/version.js';
import { StartError } from './startError.js';

/** Exit codes: 1 for what goes wrong while running, 2 for a wrong command line or configuration. */
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const EXAMPLES = `
Examples:
  dblink-proxy --embedded                                   try it out, nothing else needed
  dblink-proxy --primary postgres://db.example.org:5432     listen on 127.0.0.1:6432
  dblink-proxy --listen 0.0.0.0:6432 --listen /run/dblink-proxy --primary postgres://127.0.0.1
  dblink-proxy --config /etc/dblink-proxy.yaml --log-level debug
  dblink-proxy check-config /etc/dblink-proxy.yaml
  dblink-proxy install --primary postgres://proxy:secret@db.example.org/app

Every option is also a key of the configuration file and an environment variable (docs/configuration.md).
An option wins over the environment, the environment over the file.`;

function buildProgram(): Command {
  const program = new Command('dblink-proxy')
    .description('A PostgreSQL proxy that forwards everything and carries out the calls of dblink itself.')
    .version(version(), '-V, --version')
    .addHelpText('after', EXAMPLES)
    .exitOverride();

  const startCommand = program
    .command('start', { isDefault: true })
    .description('start the proxy (the default)')
    .addHelpText('after', EXAMPLES)
    .exitOverride();
  startCommand.addOption(
    new Option('--config <file>', 'the configuration file, in YAML (DBLINK_PROXY_CONFIG)'),
  );
  for (const setting of settings) {
    if (setting.flag !== undefined) startCommand.addOption(optionOf(setting, setting.flag));
  }
  startCommand.action(async () => {
    // Commander names `--log-level` logLevel; the configuration knows flags by their own names.
    const flags = Object.fromEntries(
      startCommand.options.map((option) => [
        option.long?.replace(/^--/, '') ?? '',
        startCommand.getOptionValue(option.attributeName()),
      ]),
    );
    const file = startCommand.getOptionValue('config') as string | undefined;
    const load = (): Config => loadConfig({ flags, env: process.env, file });
    // A mistake is told before anything else is loaded.
    load();
    // Imported only here: what serves connections takes a while to load and is of no use to the other commands.
    const { start } = await import('./start.js');
    await start(load);
  });

  program
    .command('check-config')
    .description('check a configuration file and exit')
    .argument('<file>', 'the configuration file')
    .exitOverride()
    .action((file: string) => {
      const { warnings } = loadConfig({ flags: {}, env: {}, file, partial: true });
      for (const warning of warnings) console.error(`${file}: warning: ${warning}`);
      console.log(`${file}: ok`);
    });

  const policyCommand = program
    .command('check-policy')
    .description(
      'say whether the policy allows a dblink connection, by which rule and why (exit code 1: it does not)',
    )
    .argument('<target>', 'a connection string, or the name of a server')
    .requiredOption('--as <role>', 'the role that calls')
    .requiredOption('--database <name>', "the client's database")
    .option('--client <address>', "the client's address (default: it comes by a Unix socket)")
    .option('--config <file>', 'the configuration file, in YAML (DBLINK_PROXY_CONFIG)')
    .option('--primary <url>', "the primary's URL, with the proxy's account (DBLINK_PROXY_PRIMARY)")
    .exitOverride()
    .action((target: string) => sayPolicy(target, policyCommand));

  const bridgeCommands = [
    program
      .command('install')
      .description(
        "install the bridge's functions in databases of the primary, or upgrade them (docs/bridge.md)",
      )
      .option('--schema <name>', "schema of the functions with dblink's names (default: public)"),
    program
      .command('uninstall')
      .description("remove the bridge's functions and everything else of the bridge")
      .option('--cascade', 'remove what depends on them, such as views, as well'),
  ];
  for (const command of bridgeCommands) {
    command
      .option('--config <file>', 'the configuration file, in YAML (DBLINK_PROXY_CONFIG)')
      .option('--primary <url>', "the primary's URL, with the proxy's account (DBLINK_PROXY_PRIMARY)")
      .option('--database <name>', "a database, repeatable (default: the URL's)", collect)
      .exitOverride()
      .action(() => changeBridge(command));
  }

  // The options of the default command work without its name, so they belong in the first help text as well.
  return program.configureHelp({
    visibleOptions: (command) =>
      command === program
        ? [...startCommand.options, ...program.options, helpOption()]
        : [...command.options, helpOption()],
  });
}

interface BridgeFlags {
  readonly config?: string;
  readonly primary?: string;
  readonly database?: readonly string[];
  readonly schema?: string;
  readonly cascade?: boolean;
}

interface PolicyFlags {
  readonly as: string;
  readonly database: string;
  readonly client?: string;
  readonly config?: string;
  readonly primary?: string;
}

/** `check-policy`: what the policy says of a connection. @throws StartError */
async function sayPolicy(target: string, command: Command): Promise<void> {
  const { as: role, database, client, config: file, primary } = command.opts<PolicyFlags>();
  const config = loadConfig({ flags: { primary }, env: process.env, file });
  const { checkPolicy, PolicyCheckError } = await import('../src/server/policyCheck.js');
  try {
    const { allowed, lines } = await checkPolicy(config, { role, database, client, target });
    for (const line of lines) console.log(line);
    if (!allowed) process.exitCode = EXIT_FAILURE;
  } catch (error) {
    throw error instanceof PolicyCheckError ? new StartError(error.message) : error;
  }
}

/** `install` and `uninstall`: one line for each database on the standard output. @throws StartError */
async function changeBridge(command: Command): Promise<void> {
  const flags = command.opts<BridgeFlags>();
  const config = loadConfig({ flags: { primary: flags.primary }, env: process.env, file: flags.config });
  const { routerSettings } = await import('../src/server/sessionSettings.js');
  const { InstallError, installBridge, uninstallBridge } = await import('../src/bridge/extension/install.js');
  for (const warning of config.warnings) console.error(`warning: ${warning}`);
  const { service } = routerSettings(config);
  if (service === undefined) {
    command.error(
      'error: the URL of the primary names no account: --primary postgres://user:password@host/',
      {
        exitCode: EXIT_USAGE,
      },
    );
  }
  for (const database of flags.database ?? [service.database]) {
    try {
      const done =
        command.name() === 'install'
          ? await installBridge(service, database, { schema: flags.schema })
          : await uninstallBridge(service, database, { cascade: flags.cascade === true });
      console.log(`${database}: ${done}`);
    } catch (error) {
      throw error instanceof InstallError ? new StartError(`${database}: ${error.message}`) : error;
    }
  }
}

const collect = (value: string, previous: readonly string[] = []): readonly string[] => [...previous, value];

function helpOption(): Option {
  return new Option('-h, --help', 'print this help');
}

function optionOf({ env, help, repeatable, default: preset }: Setting, flag: string): Option {
  const [placeholder, summary] = help ?? ['value', ''];
  const shown = preset === undefined || preset === false ? '' : `, default ${String(preset)}`;
  const option = new Option(
    placeholder === '' ? `--${flag}` : `--${flag} <${placeholder}>`,
    `${summary} (${env}${shown})`,
  );
  if (repeatable === true) {
    option.argParser<readonly string[]>(collect);
  }
  return option;
}

try {
  await buildProgram().parseAsync();
} catch (error) {
  // process.exit(), because what had been begun must not keep a proxy alive that did not start.
  if (error instanceof CommanderError) {
    // Commander has printed its message; help and version end with 0.
    if (error.code === 'commander.excessArguments')
      console.error('commands: start, check-config FILE, check-policy TARGET, install, uninstall, help');
    process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
  }
  if (error instanceof ConfigError) {
    console.error(error.message);
    process.exit(EXIT_USAGE);
  }
  console.error(error instanceof StartError ? `dblink-proxy: ${error.message}` : error);
  process.exit(EXIT_FAILURE);
}
