import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publicFunctionsSql } from '../../../src/bridge/installed/publicFunctions.js';
import { SERVICE_SCHEMA_SQL } from '../../../src/bridge/installed/serviceSchema.js';

/**
 * Functions of the bridge that run under the caller's search_path must name the schema of every operator and type: the caller of a
 * SECURITY DEFINER function would run there what is the caller's own. (test/bridge/definers.test.ts tries it.)
 */

interface InstalledFunction {
  readonly name: string;
  /** Text without comments and strings. */
  readonly body: string;
}

function underCallersPath(): readonly InstalledFunction[] {
  const statements = [...SERVICE_SCHEMA_SQL.split(';\n'), ...publicFunctionsSql('public')];
  // A body contains such ends of statements, too.
  const whole = statements.join(';\n').split(/(?=CREATE OR REPLACE FUNCTION )/);
  return whole.flatMap((sql) => {
    const match =
      /^CREATE OR REPLACE FUNCTION ([\s\S]*?)\bAS\s+(?:\$bridge\$([\s\S]*?)\$bridge\$|'([\s\S]*?)';)/.exec(
        sql,
      );
    if (match === null || /\bSET search_path\b/.test(match[1]!)) return [];
    const body = (match[2] ?? match[3]!)
      .replace(/\/\*[\s\S]*?\*\//g, ' ')
      .replace(/--[^\n]*/g, ' ')
      .replace(/E?'(?:[^'\\]|''|\\.)*'/g, "''");
    return [{ name: /^\S+?\([^)]*\)/.exec(match[1]!)?.[0] ?? match[1]!, body }];
  });
}

/** What has these characters and is no operator. */
const NO_OPERATORS =
  /OPERATOR\(pg_catalog\.[^)\s]+\)|:=|::|\.\.|\b(?:ERRCODE|MESSAGE|DETAIL|HINT|message|complaint|sample|sample_message|matching) = |-\d+\b|%I|pg_catalog\."[a-zA-Z]+"/g;

test('there are functions to look at, those that return rows among them', () => {
  const names = underCallersPath().map(({ name }) => name);
  for (const name of [
    '"public".dblink(text, text)',
    'dblink_proxy.reading(types text[])',
    'dblink_proxy.tell(answer text[])',
  ]) {
    assert.ok(names.includes(name), `${name} among ${names.join('; ')}`);
  }
});

test('every operator is of pg_catalog', () => {
  for (const { name, body } of underCallersPath()) {
    const rest = body.replace(NO_OPERATORS, ' ');
    const found =
      /[^\n]*(?:[<>=|~+/!^&#@%-]|\bIN\s*\(|\bCASE\s+(?!WHEN\b)|\bI?LIKE\b|\bBETWEEN\b|\bUSING\s*\()[^\n]*/.exec(
        rest,
      );
    assert.equal(found?.[0], undefined, name);
  }
});

test('every type of a variable is of pg_catalog, or a word of the grammar', () => {
  for (const { name, body } of underCallersPath()) {
    const declared = /^\s*DECLARE\b([\s\S]*?)\bBEGIN\b/.exec(body)?.[1] ?? '';
    for (const declaration of declared
      .split(';')
      .map((text) => text.trim())
      .filter(Boolean)) {
      assert.match(declaration, /^\w+ (CONSTANT )?(pg_catalog\.\w+|boolean|integer|bigint)\b/, name);
    }
  }
});
