import { type CodePointSet, codePointSet } from './codePoints.js';

/**
 * Characters that libpq counts as two columns of the screen. They depend on libpq's major version, and were measured with
 * every code point and the majors 13 to 18.
 */

/** Up to libpq 14: a list of blocks written by hand, without most pictographs. */
const BLOCKS = codePointSet(
  '1100-115f 2e80-3009 300c-3019 301c-3029 302e-303e 3040-3098 309b-a4cf ac00-d7a3 f900-faff fe30-fe6f ' +
    'ff00-ff5f ffe0-ffe6 20000-2ffff',
);

/** From libpq 15 on: East Asian Width W and F of Unicode 14. */
const UNICODE_14 = codePointSet(
  '1100-115f 231a-231b 2329-232a 23e9-23ec 23f0 23f3 25fd-25fe 2614-2615 2648-2653 267f 2693 26a1 ' +
    '26aa-26ab 26bd-26be 26c4-26c5 26ce 26d4 26ea 26f2-26f3 26f5 26fa 26fd 2705 270a-270b 2728 274c 274e ' +
    '2753-2755 2757 2795-2797 27b0 27bf 2b1b-2b1c 2b50 2b55 2e80-2e99 2e9b-2ef3 2f00-2fd5 2ff0-2ffb ' +
    '3000-3029 302e-303e 3041-3096 309b-30ff 3105-312f 3131-318e 3190-31e3 31f0-321e 3220-3247 3250-4dbf ' +
    '4e00-a48c a490-a4c6 a960-a97c ac00-d7a3 f900-faff fe10-fe19 fe30-fe52 fe54-fe66 fe68-fe6b ff01-ff60 ' +
    'ffe0-ffe6 16fe0-16fe3 16ff0-16ff1 17000-187f7 18800-18cd5 18d00-18d08 1aff0-1aff3 1aff5-1affb ' +
    '1affd-1affe 1b000-1b122 1b150-1b152 1b164-1b167 1b170-1b2fb 1f004 1f0cf 1f18e 1f191-1f19a ' +
    '1f200-1f202 1f210-1f23b 1f240-1f248 1f250-1f251 1f260-1f265 1f300-1f320 1f32d-1f335 1f337-1f37c ' +
    '1f37e-1f393 1f3a0-1f3ca 1f3cf-1f3d3 1f3e0-1f3f0 1f3f4 1f3f8-1f43e 1f440 1f442-1f4fc 1f4ff-1f53d ' +
    '1f54b-1f54e 1f550-1f567 1f57a 1f595-1f596 1f5a4 1f5fb-1f64f 1f680-1f6c5 1f6cc 1f6d0-1f6d2 ' +
    '1f6d5-1f6d7 1f6dd-1f6df 1f6eb-1f6ec 1f6f4-1f6fc 1f7e0-1f7eb 1f7f0 1f90c-1f93a 1f93c-1f945 ' +
    '1f947-1f9ff 1fa70-1fa74 1fa78-1fa7c 1fa80-1fa86 1fa90-1faac 1fab0-1faba 1fac0-1fac5 1fad0-1fad9 ' +
    '1fae0-1fae7 1faf0-1faf6 20000-2fffd 30000-3fffd',
);

/**
 * What was added later, with the first major that has it. The reason is a new version of Unicode, or a change in how PostgreSQL
 * reads it.
 */
const ADDITIONS: readonly (readonly [since: number, added: CodePointSet])[] = [
  [
    16,
    codePointSet(
      '1b132 1b155 1f6dc 1fa75-1fa77 1fa87-1fa88 1faad-1faaf 1fabb-1fabd 1fabf 1face-1facf 1fada-1fadb 1fae8 1faf7-1faf8',
    ),
  ],
  [17, codePointSet('2ffc-2fff 31ef')],
  [
    18,
    codePointSet(
      '2630-2637 268a-268f 31e4-31e5 4dc0-4dff 18cff 1d300-1d356 1d360-1d376 1fa89 1fa8f 1fabe 1fac6 1fadc 1fadf 1fae9',
    ),
  ],
];

/** Whether libpq counts a character as two columns. @param major of that libpq */
export function isWide(codePoint: number, major: number): boolean {
  if (major < 15) return BLOCKS.has(codePoint);
  if (UNICODE_14.has(codePoint)) return true;
  return ADDITIONS.some(([since, added]) => major >= since && added.has(codePoint));
}
