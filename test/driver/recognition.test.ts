import { describe, expect, it } from 'vitest';
import { example, folder, sohuc } from './command.ts';

const whole = example('llama/decoder.dynamo.onnx');

describe('--explain recognition', () => {
  it('counts blocks by kind', async () => {
    const { code, stdout } = await sohuc(whole, '--explain', 'recognition');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'recognised 2 attention, 5 norm, 4 rope, 2 activation, 0 mixture of experts; 0 nearly: 100.0 %\n' });
  });

  it('is data with --json', async () => {
    const { stdout } = await sohuc(whole, '--explain', 'recognition', '--json');
    expect(JSON.parse(stdout)).toEqual({ blocks: { attention: 2, norm: 5, rope: 4, activation: 2, 'mixture of experts': 0 }, nearMisses: [], share: 1 });
  });
});

describe('--require-fusion', () => {
  it('is content with a model recognised whole', async () => {
    expect((await sohuc(whole, '--require-fusion', '100%', '--out', folder())).code).toBe(0);
  });

  it('takes shares only', async () => {
    const { code, stderr } = await sohuc(whole, '--require-fusion', 'all');
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('`--require-fusion all`') as string });
  });
});
