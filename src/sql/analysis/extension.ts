import type {
  AlterExtensionStmt,
  AlterObjectSchemaStmt,
  CommentStmt,
  CreateExtensionStmt,
  DropStmt,
  Node,
} from 'libpg-query';
import { nameParts, walk } from '../parse/parser.js';
import type { ExtensionCommand } from '../types.js';

/** The extension whose commands are carried out. */
const NAME = 'dblink';

/**
 * What a statement does to the extension dblink itself.
 * @returns undefined for every other statement, and for those that the primary had better answer itself: lists that name
 * something else too, options given twice
 */
export function readExtensionCommand(
  tag: string,
  body: Record<string, unknown>,
): ExtensionCommand | undefined {
  switch (tag) {
    case 'CreateExtensionStmt':
      return readCreate(body as CreateExtensionStmt);
    case 'DropStmt': {
      const { removeType, objects, missing_ok, behavior } = body as DropStmt;
      if (removeType !== 'OBJECT_EXTENSION' || objects?.length !== 1 || !isNamed(objects[0]))
        return undefined;
      return { kind: 'drop', ifExists: missing_ok === true, cascade: behavior === 'DROP_CASCADE' };
    }
    case 'CommentStmt': {
      const { objtype, object } = body as CommentStmt;
      return objtype === 'OBJECT_EXTENSION' && isNamed(object) ? { kind: 'comment' } : undefined;
    }
    case 'AlterExtensionStmt':
      return readUpdate(body as AlterExtensionStmt);
    case 'AlterObjectSchemaStmt': {
      const { objectType, object, newschema } = body as AlterObjectSchemaStmt;
      if (objectType !== 'OBJECT_EXTENSION' || !isNamed(object) || newschema === undefined) return undefined;
      return { kind: 'setSchema', schema: newschema };
    }
    default:
      return undefined;
  }
}

function readCreate({ extname, if_not_exists, options }: CreateExtensionStmt): ExtensionCommand | undefined {
  const given = extname === NAME ? readOptions(options) : undefined;
  if (given === undefined) return undefined;
  const schema = given.get('schema');
  const version = given.get('new_version');
  return {
    kind: 'create',
    ifNotExists: if_not_exists === true,
    ...(schema === undefined ? {} : { schema }),
    ...(version === undefined ? {} : { version }),
  };
}

function readUpdate({ extname, options }: AlterExtensionStmt): ExtensionCommand | undefined {
  const given = extname === NAME ? readOptions(options) : undefined;
  if (given === undefined) return undefined;
  const version = given.get('new_version');
  return { kind: 'update', ...(version === undefined ? {} : { version }) };
}

/** The options by the grammar's names; undefined if one is given twice. */
function readOptions(options: readonly Node[] = []): ReadonlyMap<string, string> | undefined {
  const found = new Map<string, string>();
  for (const option of options) {
    if (!('DefElem' in option)) return undefined;
    const { defname = '', arg } = option.DefElem;
    if (found.has(defname)) return undefined;
    found.set(defname, stringOf(arg) ?? '');
  }
  return found;
}

const stringOf = (node: Node | undefined): string | undefined =>
  node !== undefined && 'String' in node ? (node.String.sval ?? '') : undefined;

const isNamed = (node: Node | undefined): boolean => stringOf(node) === NAME;

/**
 * Whether a query looks up the extension dblink in pg_extension, and compares the name with a literal. Tools ask in this
 * way whether it is installed, and in which schema.
 */
export function isExtensionLookup(tag: string, body: Record<string, unknown>): boolean {
  if (tag !== 'SelectStmt') return false;
  let reads = false;
  let compares = false;
  walk(body, (node) => {
    if ('RangeVar' in node) {
      const { schemaname = 'pg_catalog', relname } = node['RangeVar'] as {
        schemaname?: string;
        relname?: string;
      };
      if (schemaname === 'pg_catalog' && relname === 'pg_extension') reads = true;
    } else if ('A_Expr' in node) {
      const { name, lexpr, rexpr } = node['A_Expr'] as { name?: Node[]; lexpr?: Node; rexpr?: Node };
      const isName = (side: Node | undefined): boolean =>
        side !== undefined && 'ColumnRef' in side && nameParts(side.ColumnRef.fields).at(-1) === 'extname';
      if (nameParts(name).at(-1) === '=' && [lexpr, rexpr].some(isName) && mentions([lexpr, rexpr]))
        compares = true;
    }
    return true;
  });
  return reads && compares;
}

/** Whether the literal 'dblink' is in an expression. */
function mentions(part: unknown): boolean {
  let found = false;
  walk(part, (node) => {
    const constant = node['A_Const'] as { sval?: { sval?: string } } | undefined;
    if (constant?.sval?.sval === NAME) found = true;
    return !found;
  });
  return found;
}
