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

/** The catalogs that tell which extensions there are. */
export const EXTENSION_CATALOGS: ReadonlySet<string> = new Set([
  'pg_extension',
  'pg_available_extensions',
  'pg_available_extension_versions',
]);

/** The function that tells how they are updated. */
export const UPDATE_PATHS = 'pg_extension_update_paths';

/** Statements in which the name of a table says what is read. */
export const QUERIES: ReadonlySet<string> = new Set(['SelectStmt', 'PrepareStmt', 'DeclareCursorStmt']);

/** Whether a query reads what tells which extensions there are, in whatever way it looks for dblink there. */
export function isExtensionLookup(tag: string, body: Record<string, unknown>): boolean {
  if (!QUERIES.has(tag)) return false;
  let reads = false;
  walk(body, (node) => {
    if ('RangeVar' in node) {
      const { schemaname = 'pg_catalog', relname = '' } = node['RangeVar'] as {
        schemaname?: string;
        relname?: string;
      };
      if (schemaname === 'pg_catalog' && EXTENSION_CATALOGS.has(relname)) reads = true;
    } else if ('FuncCall' in node) {
      const { funcname } = node['FuncCall'] as { funcname?: Node[] };
      if (nameParts(funcname).at(-1) === UPDATE_PATHS) reads = true;
    }
    return !reads;
  });
  return reads;
}

const CREATES = /\bcreate\s+extension\b/i;

/** Whether a DO block may create the extension. */
export function createsInBlock(tag: string, body: Record<string, unknown>): boolean {
  if (tag !== 'DoStmt') return false;
  const { args = [] } = body as { args?: readonly Node[] };
  return args.some((arg) => {
    if (!('DefElem' in arg) || arg.DefElem.defname !== 'as') return false;
    const source = stringOf(arg.DefElem.arg) ?? '';
    return source.toLowerCase().includes(NAME) && CREATES.test(source);
  });
}
