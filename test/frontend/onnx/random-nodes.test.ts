import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { ruleOf } from '../../../frontend/onnx/rules/table.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { shapeOfExpr } from '../../../ir/weight-expr.ts';
import { type One, given, stored, tried } from './witness.ts';
import type { AttributeValue } from './write.ts';

const folder = '../shared/corpus/onnx/schemas';

type Schema = {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly { readonly option: string }[];
  readonly outputs: readonly unknown[];
  readonly attrs: Readonly<Record<string, { readonly type: string; readonly required: boolean }>>;
};

const kinds = ['f32', 'f32', 'f32', 'u8', 'i8', 'i32', 'i64', 'bool', 'e4m3'] as const;
const sizes = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24];

/** Nodes of every operator there is a rule for, with inputs and attributes of the right number and name, and nothing else right. */
function* randomNodes(count: number): Generator<One> {
  let seed = 5;
  const below = (limit: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const one = <T>(of: readonly T[]): T => of[below(of.length)] as T;
  const shape = (): readonly number[] => Array.from({ length: below(6) }, () => one(sizes));
  const schemas = ['onnx-1.23.1-op-schemas.json', 'ort-1.30.0-com.microsoft-schemas.json'].flatMap((file) => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as Schema[]).map((schema) => ({ ...schema, domain: schema.domain === 'ai.onnx' ? '' : schema.domain }));
  const known = schemas.filter(({ domain, name }) => ruleOf(domain, name) !== undefined);
  expect(known.length).toBeGreaterThan(400);
  for (let i = 0; i < count; i++) {
    const { name, domain, inputs, outputs, attrs } = known[i % known.length] as Schema;
    const shared = [shape(), shape()];
    const input = (): One['inputs'][number] => {
      const [kind, dims] = [one(kinds), below(3) > 0 ? one(shared) : shape()];
      const values = Array.from({ length: dims.reduce((product, size) => product * size, 1) }, () => (kind === 'bool' ? below(2) : below(9) - (kind.startsWith('u') || kind === 'e4m3' ? 0 : 2)));
      return values.length < 20_000 && below(2) === 0 ? stored(kind, dims, values) : given(kind, dims, values, dims.map((size, axis) => (below(3) > 0 ? size : `d${axis}_${below(3)}`)));
    };
    const value: Readonly<Record<string, () => AttributeValue>> = {
      INT: () => one([0, 1, 2, 4, -1, 16, 3, 7]),
      FLOAT: () => ({ float: one([0, 1, -1, 0.5]) }),
      INTS: () => Array.from({ length: 1 + below(3) }, () => below(9) - 1),
      STRING: () => one(['', 'silu', 'swiglu', 'Relu', 'NONE', 'int']),
    };
    const attributes = Object.entries(attrs).flatMap(([attribute, { type, required }]) => (value[type] !== undefined && (required || below(2) === 0) ? [[attribute, value[type]()] as const] : []));
    yield { op: name, domain, inputs: inputs.map(({ option }) => (option !== 'Single' && below(2) === 0 ? undefined : input())), attributes: Object.fromEntries(attributes), outputs: 1 + below(Math.max(1, outputs.length)), version: 23 };
  }
}

const count = Number(process.env['SOHUC_NODES'] ?? 4000);

describe.skipIf(!existsSync(folder))('nodes nobody would write', () => {
  it('are imported or refused, and never throw; graphs hold, weights have the shape of what makes them', { timeout: 60_000 + 10 * count }, () => {
    let imported = 0;
    for (const node of randomNodes(count)) {
      const { result, told } = tried(node);
      expect([node.op, result === undefined]).toEqual([node.op, told.some((each) => each.startsWith('E'))]);
      if (result === undefined) continue;
      imported++;
      const problems = new Diagnostics();
      verifyGraph(result.module, problems);
      expect([node.op, problems.all]).toEqual([node.op, []]);
      for (const { shape, instances } of result.module.weights) for (const expr of instances) expect(shapeOfExpr(expr, result.store)).toEqual(shape);
    }
    expect(imported).toBeGreaterThan(count / 3);
  });
});
