/** The role whose rights count, where what the primary says of it is no evidence: of the sessions that are nested in another. */
export interface ProvenRole {
  /** @param end see PrimaryLink.run @returns its name, a byte string; undefined when it is not proven */
  name(end: 'flush' | 'sync'): Promise<string | undefined>;
  /** Whether it is a superuser, and proven. */
  isSuperuser(end: 'flush' | 'sync'): Promise<boolean>;
  /** Whether it is proven, and a member of one of several roles. @param roles the text of a JSON array */
  isMember(roles: string, end: 'flush' | 'sync'): Promise<boolean>;
}
