import type { GraphBuilder } from '../../ir/graph/build.ts';
import { interpret } from '../../ir/graph/interpret.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import type { DType, ValueId } from '../../ir/types.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { decodeBf16, decodeE4m3, encodeE4m3 } from '../../isa-spec/numerics.ts';
import { emptyStore, literal, moduleOf, stepOf } from '../ir/graph/modules.ts';
import { fromSingleBits, singleBits } from './bits.ts';
import type { AttentionCase, ConvertCase, DotCase, FunctionCase, NormCase, QuantiseCase, RopeCase } from './vectors.ts';
import { unpack } from './vectors.ts';

const decoders = { f32: fromSingleBits, bf16: decodeBf16, e4m3: decodeE4m3 } as const;
type Stored = keyof typeof decoders;
type Matrix = { readonly format: Stored; readonly rows: readonly (readonly number[])[] };
type Fill = (build: GraphBuilder, matrices: readonly ValueId[], positions: ValueId) => readonly ValueId[];

/** The outputs of graph ops on matrices of codes. A matrix is a table whose rows the ids pick; E4M3 is converted from BF16, which holds all its values. */
const run = (matrices: readonly Matrix[], fill: Fill, positions?: readonly number[]): (readonly number[])[] => {
  const tokens = matrices[0]!.rows.length;
  const wide = (format: Stored): DType => (format === 'e4m3' ? 'bf16' : format);
  const tables = matrices.map(({ format, rows }, i) => literal(`x${i}`, [rows.length, rows[0]!.length], rows.flat().map(decoders[format]), wide(format)));
  const outputs = ['y', 'z'].map((name) => ({ name, rows: 'tokens' as const }));
  const module = moduleOf({ inputs: [{ name: 'ids', feed: 'ids' }, { name: 'positions', feed: 'positions' }], outputs, weights: tables }, (build, [ids, at]) => {
    const made = matrices.map(({ format, rows }, i) => {
      const { name, shape, dtype } = tables[i]!;
      const picked = build.op('embed', {}, [ids!, build.op('weight', { name }, [], { dtype, shape })]);
      return format === 'e4m3' ? build.op('convert', {}, [picked], { dtype: 'e4m3', shape: ['tokens', rows[0]!.length] }) : picked;
    });
    const results = fill(build, made, at!);
    return results.length === 1 ? [results[0]!, results[0]!] : results;
  });
  const step = { ...stepOf([{ id: 0, rows: tokens, past: 0 }]), ...(positions === undefined ? {} : { positions }) };
  const result = interpret(module, step, { weights: new WeightValues(emptyStore, 1), arithmetic: 'normative', state: new KvState() });
  return ['y', 'z'].map((name) => [...result.get(name)!.data]);
};

const wide = (columns: number) => ({ dtype: 'f32', shape: ['tokens', columns] }) as const;
const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;
const row = (format: Stored, codes: string): Matrix => ({ format, rows: [unpack(codes)] });
const codesOf = (values: readonly number[]): number[] => values.map(singleBits);

/** What the graph interpreter makes of each case: the codes of its result. */
export const onInterpreter = {
  dot: ({ format, a, b }: DotCase): number[] =>
    codesOf(run([row(format, a), row(format, b)], (build, [x, w]) => [build.op('linear', plain, [x!, w!], wide(1))])[0]!),
  norm: ({ kind, epsilon, x, gamma, beta }: NormCase): number[] => {
    const parameters = (kind === 'layer' ? [gamma, beta] : [gamma]).map((codes) => row('f32', codes));
    return codesOf(run([row('bf16', x), ...parameters], (build, values) => [build.op('norm', { norm: kind, groups: 1, epsilon: fromSingleBits(unpack(epsilon)[0]!) }, values, wide(unpack(x).length))])[0]!);
  },
  rope: ({ interleaved, frequencies, position, x }: RopeCase): number[] => {
    const headDim = unpack(x).length;
    const attrs = { headDim, frequencies, amplitude: 1, interleaved, positions: position + 1 };
    return codesOf(run([row('bf16', x)], (build, [v], positions) => [build.op('rope', attrs, [v!, positions], wide(headDim))], [position])[0]!);
  },
  quantise: ({ x }: QuantiseCase): { readonly codes: number[]; readonly scale: number[] } => {
    const [codes, scale] = run([row('bf16', x)], (build, [v]) => build.ops('quantise', { blocks: false }, [v!]));
    return { codes: codes!.map(encodeE4m3), scale: codesOf(scale!) };
  },
  attention: ({ format, scale, window, q, k, v }: AttentionCase): number[] => {
    const headDim = unpack(q).length;
    const attrs = { heads: 1, kvHeads: 1, headDim, scale: fromSingleBits(unpack(scale)[0]!), softCap: 0, sinks: false, slopes: false, mask: 'causal', window, cache: '' } as const;
    const matrices = [k.map(() => q), k, v].map((rows) => ({ format, rows: rows.map(unpack) }));
    return codesOf(run(matrices, (build, values) => [build.op('attention', attrs, values, wide(headDim))])[0]!.slice(-headDim));
  },
  functions: ({ name, x }: FunctionCase): number[] | undefined =>
    name === 'exp2' ? undefined : codesOf(run([row('f32', x)], (build, [v]) => [build.op('activate', { activation: name }, [v!], wide(unpack(x).length))])[0]!),
  convert: ({ name, x }: ConvertCase): number[] => codesOf(run([row('f32', x)], (build, [v]) => [build.op('convert', {}, [v!], { dtype: name, shape: ['tokens', unpack(x).length] })])[0]!),
};
