/** Whether this is `npm run check`, which sees a few cases of each sweep. `npm test` sees all. */
export const isCheck = process.env['MODE'] === 'check';

/** The cases of a sweep; in a check the first few. */
export const sweep = <T>(cases: readonly T[], few: number): readonly T[] => (isCheck ? cases.slice(0, few) : cases);
