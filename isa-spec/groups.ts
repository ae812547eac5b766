import type { InstructionOf } from './instructions.ts';

type Fields = Pick<InstructionOf<'coll'>['fields'], 'kind' | 'group'>;

/** Chips that meet in a collective of a program of `chips`: those of a group; in a shift, which goes from group to group, and without groups, all. */
export const membersOf = ({ kind, group = 0 }: Fields, chips: number): number => (kind === 'shift' || group === 0 ? chips : group);

/** How many chips on a shift brings rows: to the same place in the next group. */
export const reachOf = ({ group = 0 }: Fields): number => Math.max(1, group);

/** The first chip of those that chip `rank` meets: groups are of chips that follow one another. */
export const firstOf = (rank: number, members: number): number => rank - (rank % members);

/** Rows a chip has of those that `members` share: as many as the others, of which the last chips may have some that are not there. */
export const shareOf = (rows: number, members: number): number => Math.ceil(rows / members);
