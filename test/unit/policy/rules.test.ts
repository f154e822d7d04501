import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { describe, it } from 'node:test';
import {
  AddressSet,
  type Conditions,
  type Destination,
  isNetwork,
  judge,
  type NamedPlace,
  namePattern,
  type Policy,
  type PolicyFacts,
  type Rule,
  type Wanted,
} from '../../../src/policy/index.js';

const WANTED: Wanted = {
  server: undefined,
  hosts: ['db.internal'],
  port: 5432,
  database: 'sales',
  user: 'reader',
  from: 'app',
  client: '10.1.2.3',
};

const rule = (action: Rule['action'], conditions: Conditions, place: string, readOnly = false): Rule => ({
  action,
  conditions,
  place,
  readOnly,
});

const policy = (rules: readonly Rule[], more: Partial<Policy> = {}): Policy => ({
  rules,
  fallback: 'deny',
  connectionStrings: true,
  remoteWritesInReadOnly: 'allow',
  ...more,
});

const around = (more: Partial<PolicyFacts> = {}): PolicyFacts => ({
  isMember: async () => false,
  isAt: () => false,
  ...more,
});

const among = (networks: readonly string[], places: readonly NamedPlace[] = []): Conditions['address'] => ({
  networks: new AddressSet(networks),
  places,
});

const at = (address: string): Destination => ({ address });

describe('who may reach what', () => {
  const cases: readonly (readonly [Conditions, Partial<Wanted>, fits: boolean])[] = [
    [{}, {}, true],
    [{ host: namePattern(['*.internal'], true) }, {}, true],
    [{ host: namePattern(['*.internal'], true) }, { hosts: ['DB.Internal.'] }, true],
    [{ host: namePattern(['*.internal'], true) }, { hosts: ['internal'] }, false],
    [{ host: namePattern(['*.internal'], true) }, { hosts: ['db.internal.example'] }, false],
    // Behind an address there may be a zone.
    [{ host: namePattern(['*.internal'], true) }, { hosts: ['::ffff:192.0.2.7%.internal'] }, false],
    // hostaddr says where the host is, whatever it is called.
    [{ host: namePattern(['*.internal'], true) }, { hosts: ['db.internal', '192.0.2.9'] }, false],
    [{ port: [5432, 5433] }, { port: 5433 }, true],
    [{ port: [5432] }, { port: 5434 }, false],
    [{ database: namePattern(['sales', 'crm']) }, { database: 'crm' }, true],
    [{ database: namePattern(['sales']) }, { database: 'Sales' }, false],
    [{ user: namePattern(['reader']) }, { user: 'writer' }, false],
    [{ from: namePattern(['app']) }, { from: 'other' }, false],
    [{ server: namePattern(['*']) }, {}, false],
    [{ server: namePattern(['*']) }, { server: 'warehouse' }, true],
    [{ server: namePattern(['ware*']) }, { server: 'hardware' }, false],
    [{ client: new AddressSet(['10.0.0.0/8']) }, {}, true],
    [{ client: new AddressSet(['10.0.0.0/8']) }, { client: '::ffff:10.0.0.1' }, true],
    [{ client: new AddressSet(['10.0.0.0/8']) }, { client: '11.0.0.1' }, false],
    [{ client: new AddressSet(['10.0.0.0/8']) }, { client: undefined }, false],
    [{ client: new AddressSet(['loopback']) }, { client: undefined }, true],
    [{ roles: ['reporting'] }, {}, false],
    [{ roles: ['reporting', 'member'] }, {}, true],
    [{ address: among(['192.0.2.0/24']) }, {}, true],
    [{ address: among(['192.0.2.8']) }, {}, false],
    [{ address: among([], ['primary']) }, {}, true],
    [{ address: among([], ['self']) }, {}, false],
  ];
  for (const [conditions, more, fits] of cases) {
    it(`${JSON.stringify(Object.keys(conditions))} ${JSON.stringify(more)}: ${fits ? 'fits' : 'does not fit'}`, async () => {
      const isMember = async (roles: readonly string[]): Promise<boolean> => roles.includes('member');
      const circumstances = around({ isMember, isAt: (place) => place === 'primary' });
      const ruling = await judge(
        policy([rule('allow', conditions, 'the rule')]),
        { ...WANTED, ...more },
        circumstances,
        at('192.0.2.7'),
      );
      assert.equal(ruling.by, fits ? 'the rule' : 'policy.default');
      assert.equal(ruling.action, fits ? 'allow' : 'deny');
    });
  }

  it('the first rule that fits decides, and says whether sessions stay read-only', async () => {
    const rules = [
      rule('deny', { user: namePattern(['root']) }, '1'),
      rule('allow', { database: namePattern(['sales']) }, '2', true),
      rule('deny', {}, '3'),
    ];
    const of = (more: Partial<Wanted>) =>
      judge(policy(rules), { ...WANTED, ...more }, around(), at('192.0.2.1'));
    const [first, second] = [
      { place: '1', condition: 'user' },
      { place: '2', condition: 'database' },
    ];
    assert.deepEqual(await of({ user: 'root' }), {
      action: 'deny',
      by: '1',
      readOnly: false,
      passedOver: [],
    });
    assert.deepEqual(await of({}), { action: 'allow', by: '2', readOnly: true, passedOver: [first] });
    const last = { action: 'deny', by: '3', readOnly: false, passedOver: [first, second] };
    assert.deepEqual(await of({ database: 'x' }), last);
  });

  it('nothing is looked up for what is denied by something else than its address', async () => {
    const byHost = policy([rule('deny', { host: namePattern(['evil'], true) }, 'host')], {
      fallback: 'allow',
    });
    assert.equal((await judge(byHost, { ...WANTED, hosts: ['evil', '192.0.2.9'] }, around())).action, 'deny');
    assert.equal((await judge(byHost, WANTED, around())).action, 'later');
    const byAddress = policy([rule('allow', { address: among(['10.0.0.0/8']), port: [1] }, 'address')]);
    assert.equal((await judge(byAddress, WANTED, around())).action, 'deny');
    assert.equal((await judge(byAddress, { ...WANTED, port: 1 }, around())).action, 'later');
    const denied = policy([rule('deny', { address: among(['10.0.0.0/8']) }, '1'), rule('deny', {}, '2')]);
    assert.equal((await judge(denied, WANTED, around())).action, 'deny');
  });

  it('connection strings can be forbidden', async () => {
    const named = policy([rule('allow', {}, 'all')], { connectionStrings: false });
    assert.equal((await judge(named, WANTED, around())).by, 'policy.connection_strings');
    assert.equal((await judge(named, { ...WANTED, server: 's' }, around(), at('192.0.2.1'))).action, 'allow');
  });

  it('the primary is asked for roles only where everything else fits', async () => {
    const isMember = (): never => assert.fail('asked');
    const rules = [rule('allow', { roles: ['x'], port: [1] }, 'roles'), rule('allow', {}, 'all')];
    assert.equal((await judge(policy(rules), WANTED, around({ isMember }), at('192.0.2.1'))).by, 'all');
  });
});

describe('guarded destinations', () => {
  const all = policy([rule('allow', { host: namePattern(['*'], true) }, 'all')], { fallback: 'allow' });
  const named = policy([rule('allow', { address: among(['169.254.7.7']) }, 'named')], {
    fallback: 'allow',
  });

  it('need a rule that names them by address', async () => {
    const isAt: PolicyFacts['isAt'] = (place, _, port) => place === 'self' && port === 6432;
    for (const [address, by] of [
      ['169.254.169.254', 'built in: metadata'],
      ['169.254.7.7', 'built in: metadata'],
      ['fe80::1%eth0', 'built in: link-local'],
      ['fd00:ec2::254', 'built in: metadata'],
    ] as const) {
      const ruling = await judge(all, WANTED, around({ isAt }), at(address));
      assert.deepEqual([ruling.action, ruling.by], ['deny', by]);
    }
    const self = await judge(all, { ...WANTED, port: 6432 }, around({ isAt }), at('192.0.2.1'));
    assert.equal(self.by, 'built in: self');
    assert.equal((await judge(named, WANTED, around(), at('169.254.7.7'))).by, 'named');
    assert.equal((await judge(named, WANTED, around(), at('169.254.7.8'))).action, 'deny');
  });

  it('no spelling of an address gets round that', async () => {
    const spellings = [
      ...[
        '169.254.169.254',
        '0xa9fea9fe',
        '2852039166',
        '0251.0376.0251.0376',
        '169.254.43518',
        '0xa9.254.169.254',
      ],
      ...[
        '::ffff:169.254.169.254',
        '::ffff:a9fe:a9fe',
        '0:0:0:0:0:FFFF:169.254.169.254',
        '64:ff9b::169.254.169.254',
      ],
      ...['::169.254.169.254', '2002:a9fe:a9fe::1', 'fd00:0ec2:0000::0254'],
    ];
    for (const spelling of spellings) {
      // What is connected to is what the system makes of the host.
      const found = await lookup(spelling).then(
        ({ address }) => address,
        () => spelling,
      );
      for (const address of new Set([found, spelling.includes(':') ? spelling : found]))
        assert.equal(
          (await judge(all, { ...WANTED, hosts: [spelling] }, around(), at(address))).action,
          'deny',
          spelling,
        );
    }
  });

  it('no order of hosts does', async () => {
    // A generator of its own: the same cases every time.
    let seed = 7;
    const next = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed % below;
    };
    const inside = new AddressSet(['10.0.0.0/8', 'fc00::/7']);
    const address = { networks: inside, places: [] };
    const allowing = policy([rule('allow', { address }, 'inside')]);
    const denying = policy([rule('deny', { address }, 'inside')], { fallback: 'allow' });
    for (let i = 0; i < 3000; i++) {
      const v4 = [next(2) === 0 ? 10 : next(256), next(256), next(256), next(256)].join('.');
      const isInside = v4.startsWith('10.');
      // What a network may make of an address is denied with it, and not allowed with it.
      for (const [form, isSame] of [
        [v4, true],
        [`::ffff:${v4}`, true],
        [`64:ff9b::${v4}`, false],
      ] as const) {
        const by = async (rules: Policy): Promise<string> =>
          (await judge(rules, WANTED, around(), at(form))).by;
        assert.equal((await by(allowing)) === 'inside', isInside && isSame, form);
        assert.equal((await by(denying)) === 'inside', isInside, form);
      }
    }
  });
});

describe('sets of addresses', () => {
  it('know what a network is', () => {
    for (const text of ['10.0.0.0/8', '1.2.3.4', '::1', 'fe80::/10', '::/0', '0.0.0.0/0'])
      assert.ok(isNetwork(text), text);
    for (const text of [
      '',
      '10.0.0.0/33',
      '10.0.0.0/',
      '10/8',
      '::/129',
      'localhost',
      '1.2.3.4/8/8',
      'fe80::1%1',
      '1.2.3.4/-1',
    ])
      assert.ok(!isNetwork(text), text);
  });

  it('take a socket for loopback, and the unspecified address, too', () => {
    const loopback = new AddressSet(['loopback']);
    for (const address of ['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1'])
      assert.ok(loopback.has({ address }), address);
    assert.ok(loopback.has({ socket: '/tmp' }));
    assert.ok(!loopback.has({ address: '10.0.0.1' }));
    assert.ok(!new AddressSet(['0.0.0.0/0', '::/0']).has({ socket: '/tmp' }));
  });
});

describe('patterns of names', () => {
  it('match in linear time', () => {
    const pattern = namePattern([`${'*a'.repeat(2000)}*b`]);
    assert.equal(pattern('a'.repeat(100_000)), false);
    assert.equal(pattern(`${'a'.repeat(100_000)}b`), true);
  });
  it('match whole names', () => {
    for (const [pattern, name, fits] of [
      ['a*', 'a', true],
      ['*', '', true],
      ['a*a', 'a', false],
      ['a*a', 'aa', true],
      ['*.x.*', 'a.x.b', true],
      ['a', 'A', false],
      ['', '', true],
    ] as const)
      assert.equal(namePattern([pattern])(name), fits, `${pattern} ${name}`);
  });
});
