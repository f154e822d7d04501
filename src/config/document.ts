import { type Setting, settings } from './settings.js';

/** The text of docs/configuration.md, generated from the schema. */
export function documentSettings(): string {
  return `${INTRODUCTION}\n${settings.map(describe).join('\n')}`;
}

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/schema.ts by scripts/configuration-docs.mjs; do not edit. -->

Every setting can stand in a YAML file (\`--config FILE\` or the environment variable \`DBLINK_PROXY_CONFIG\`), in an
environment variable, and some in a flag of the command line. A flag wins over the environment, the environment over the
file, the file over the default. An environment variable that is empty counts as not set; a list is written with commas.

Whatever is wrong stops the start with exit code 2 and is named with file, line, column and key; an unknown key or
\`DBLINK_PROXY_…\` variable is wrong too. \`dblink-proxy check-config FILE\` checks a file without starting.

SIGHUP has the proxy read the file again. Each setting says what a change does then: it is there for sessions that come, for open ones, too, or
it needs a restart, which the log says. Sessions stay. Certificate files are read again as well. If anything is wrong, or a certificate cannot be used,
everything stays as it was, and the log says file, line and key.

Durations are written \`500ms\`, \`30s\`, \`5min\`, \`1h\` or as a number of milliseconds; sizes \`64KiB\`, \`256MiB\`, \`1GiB\`
(with or without the \`i\`) or as a number of bytes.
`;

const CHANGES: Readonly<Record<Setting['reload'], string>> = {
  live: 'SIGHUP, also for open sessions',
  'new sessions': 'SIGHUP, for new sessions',
  restart: 'needs a restart',
};

function describe(setting: Setting): string {
  const rows = [
    [
      'Type',
      setting.unit === undefined ? setting.type : `${setting.type}; a plain number is in ${setting.unit}`,
    ],
    ['Default', setting.default === undefined ? 'not set' : `\`${asYaml(setting.default)}\``],
    ['Environment', `\`${setting.env}\``],
    ['A change', CHANGES[setting.reload]],
    ...(setting.flag === undefined
      ? []
      : [['Flag', `\`--${setting.flag}\`${setting.repeatable === true ? ', repeatable' : ''}`]]),
  ];
  return [
    `## \`${setting.key}\`\n`,
    `${setting.description}\n`,
    '| | |\n|---|---|',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    '',
  ].join('\n');
}

function asYaml(value: NonNullable<Setting['default']>): string {
  return typeof value === 'object'
    ? `[${value.map((item) => JSON.stringify(item)).join(', ')}]`
    : String(value);
}
