import { expect, it } from 'vitest';
import { isaManual } from '../../isa-spec/document.ts';

/** `vitest -u` writes it anew. */
it('docs/isa.md is what the records say', async () => {
  await expect(isaManual()).toMatchFileSnapshot('../../docs/isa.md');
});
