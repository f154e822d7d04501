import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  clusterKey,
  clusterTemplate,
  installationKey,
  PREPARED_VARIABLE,
  type Prepared,
  prepareBinaries,
} from '../../src/embedded/index.js';
import { MATRIX_PACKAGES, PACKAGED_MAJORS } from '../support/majors.js';

/**
 * Makes once what every test file needs: PostgreSQL's programs, with and without dblink, and a cluster of each major to copy.
 * A server on a copy is there in a tenth of a second, which is less than it takes to reset one that was used
 * (docs/decisions/009-new-servers-for-each-file.md).
 *
 * @param scratch a directory that outlives the tests
 * @param further majors, beside those that are among the project's packages
 * @returns variables that tell the test files' processes of it; it is removed when this process ends
 */
export async function prepareShared(
  scratch: string,
  further: readonly number[],
): Promise<Readonly<Record<string, string>>> {
  const installations: Record<string, Prepared['installations'][string]> = {};
  const clusters: Record<string, string> = {};
  for (const major of new Set([...PACKAGED_MAJORS, ...further])) {
    const prepare = (dblink: boolean) => prepareBinaries({ major, dblink, packages: MATRIX_PACKAGES });
    for (const dblink of [true, false]) {
      installations[installationKey({ major, dblink })] = await prepare(dblink);
    }
    clusters[clusterKey(major)] = await clusterTemplate(await prepare(true));
  }
  const file = join(scratch, 'prepared.json');
  writeFileSync(file, JSON.stringify({ installations, clusters } satisfies Prepared));
  return { [PREPARED_VARIABLE]: file };
}
