import { fileURLToPath } from 'node:url';

/** The majors that are among the project's packages. */
export const PACKAGED_MAJORS: readonly number[] = [18, 15];

/** All that the proxy supports. */
export const SUPPORTED_MAJORS: readonly number[] = [13, 14, 15, 16, 17, 18];

/** Where scripts/matrix.mjs puts the majors that are not among the project's own packages. */
export const MATRIX_PACKAGES = fileURLToPath(new URL('../../../.matrix', import.meta.url));

/** Names other majors, "13,14", for tests that can run on any; the test runner sets it for `--major` and `--matrix`. */
export const MAJORS_VARIABLE = 'DBLINK_PROXY_TEST_MAJORS';

/** The majors that a test runs on which can run on any. The runner has their programs ready. */
export const testedMajors = (): readonly number[] =>
  process.env[MAJORS_VARIABLE]?.split(',').map(Number) ?? PACKAGED_MAJORS;
