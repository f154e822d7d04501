/** A name of the file as the program has it: `splice_bytes` is `spliceBytes`. */
export type InCamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<InCamelCase<Rest>>}`
  : Name;

/** A group of settings as the program has it. */
export type Renamed<Group> = { readonly [Name in keyof Group as InCamelCase<Name & string>]: Group[Name] };

/** A group of settings by the names that they have in the program. */
export const renamed = <Group extends object>(group: Group): Renamed<Group> =>
  Object.fromEntries(
    Object.entries(group).map(([name, value]) => [
      name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  ) as Renamed<Group>;
