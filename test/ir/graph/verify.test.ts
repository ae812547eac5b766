import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { parseGraph } from '../../../ir/graph/parse.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { triple } from './generate.ts';

/** Messages about a body of one parameter `%0: i32[tokens]`, with some weights and a cache around it. */
function faults(body: string, head = 'input "ids": ids'): readonly string[] {
  const text = `module "m" family "f"
custom "triple"
${head}
cache "kv": layers 2, kvHeads 1, headDim 4
weight "table": f32[10, 4] = "t"
weight "layered": f32[4] = "l.{}" for 0..2
body (%0: i32[tokens]) {
${body}
}`;
  const diagnostics = new Diagnostics();
  const module = parseGraph(text, 'm.sir', diagnostics, [triple]);
  if (module !== undefined) verifyGraph(module, diagnostics);
  return diagnostics.all.map(({ message }) => message);
}
const x = '%1: f32[10, 4] = weight() {name "table"}\n%2: f32[tokens, 4] = embed(%0, %1)\n';
const attend = 'heads 1, kvHeads 1, headDim 4, scale 1, softCap 0, mask causal, window 0';

describe('the rules of the graph IR', () => {
  it('1: values are defined once, before they are read', () => {
    expect(faults(`${x}return`)).toEqual([]);
    expect(faults('%1: f32[tokens, 4] = activate(%2) {activation relu}\n%2: f32[tokens, 4] = activate(%1) {activation relu}\nreturn')).toEqual(['%2 is read where it is not defined']);
    expect(faults(`${x}%5: f32[tokens, 4] = loop(%2) {trip 1} (%3: f32[tokens, 4]) {\n%4: f32[tokens, 4] = add(%3, %2)\nyield %4\n}\n%6: f32[tokens, 4] = add(%4, %5)\nreturn`)).toEqual(['%4 is read where it is not defined']);
  });

  it('2: dimensions are canonical', () => {
    expect(faults('%1: i64[4] = piota() {start "0", step 1}\n%2: i64[tokens - 1] = piota() {start "0", step 1}\nreturn')).toEqual([]);
    expect(faults('%1: i64[3 - 4] = piota() {start "0", step 1}\nreturn')).toEqual(['`-1`, a dimension of %1, is not in canonical form']);
  });

  it('3: operands and results have the types of their op', () => {
    expect(faults(`${x}%3: f32[tokens, 5] = activate(%2) {activation relu}\nreturn`)).toEqual(['`activate` %3: the result is f32[tokens, 5], not f32[tokens, 4]']);
    expect(faults(`${x}%3: bf16[tokens, 4] = activate(%2) {activation relu}\nreturn`)).toEqual([]);
    expect(faults(`${x}%3: bf16[tokens, 3] = columns(%2) {start 0, end 3}\nreturn`)).toEqual(['`columns` %3: the result is bf16[tokens, 3], not f32[tokens, 3]']);
    expect(faults(`${x}%3: f32[tokens, 10] = linear(%2, %1, %2) {activation none}\nreturn`)).toEqual(['`linear` %3: 3 operands where 2 are wanted']);
    expect(faults(`${x}%3: f32[tokens, 10] = linear(%2, %1, %2) {activation none, residual}\nreturn`)).toEqual(['`linear` %3: residual has shape [tokens, 4], not [tokens, 10]']);
    expect(faults(`${x}%3: f32[4] = preshape(%1)\nreturn`)).toEqual(['`preshape` %3: an operand f32[10, 4] cannot become f32[4]']);
    expect(faults('%1: f32[4] = pconst() {values [1, 2]}\nreturn')).toEqual(['`pconst` %1: 2 values of f32[4]']);
  });

  it('4: loops carry one list of types', () => {
    expect(faults(`${x}%4: f32[tokens, 4] = loop(%2) {trip 0} (%3: f32[tokens, 4]) {\nyield %0\n}\nreturn`)).toEqual([
      '`loop` %4: 0 iterations',
      "`loop` %4: the body's yields are (i32[tokens]), not (f32[tokens, 4])",
    ]);
  });

  it('5: weights are known, with an instance for each iteration', () => {
    expect(faults('%1: f32[3] = weight() {name "none"}\nreturn')).toEqual(['`weight` %1: the module has no weight `none`']);
    expect(faults('%1: f32[3] = weight() {name "layered"}\nreturn')).toEqual(['`weight` %1: the result is f32[3], the weight f32[4]', '`weight` %1: `layered` has 2 instances for 1 iterations']);
    const loop = (trip: number): string => `${x}%5: f32[tokens, 4] = loop(%2) {trip ${trip}} (%3: f32[tokens, 4]) {\n%4: f32[4] = weight() {name "layered"}\n%6: f32[tokens, 4] = norm(%3, %4) {norm rms, groups 1, epsilon 0}\nyield %6\n}\nreturn`;
    expect(faults(loop(2))).toEqual([]);
    expect(faults(loop(3))).toEqual(['`weight` %4: `layered` has 2 instances for 3 iterations']);
  });

  it('6: parameters and results pair with inputs and outputs', () => {
    expect(faults(`${x}return %2`, 'input "ids": ids\noutput "y": tokens')).toEqual([]);
    expect(faults(`${x}return %2`, 'input "ids": ids\noutput "y": samples')).toEqual(['output `y` is f32[tokens, 4], and has no row for each of samples']);
    expect(faults(`${x}return %2`, '')).toEqual(['0 inputs pair with 1 parameters', '0 outputs pair with 1 results']);
  });

  it('7: a cache belongs to one attention, a layer an iteration', () => {
    expect(faults(`${x}%3: f32[tokens, 4] = attention(%2, %2, %2) {${attend}, cache "none"}\nreturn`)).toEqual(['`attention` %3: the module has no cache `none`']);
    expect(faults(`${x}%3: f32[tokens, 4] = attention(%2, %2, %2) {${attend}, cache "kv"}\nreturn`)).toEqual(['`attention` %3: cache `kv` has 2 layers for 1 iterations']);
    const twice = `%4: f32[tokens, 4] = attention(%3, %3, %3) {${attend}, cache "kv"}\n%5: f32[tokens, 4] = attention(%4, %4, %4) {${attend}, cache "kv"}\n`;
    expect(faults(`${x}%6: f32[tokens, 4] = loop(%2) {trip 2} (%3: f32[tokens, 4]) {\n${twice}yield %5\n}\nreturn`)).toEqual(["`attention` %5: cache `kv` is another attention's too"]);
  });

  it('8: a custom op is what its layer infers', () => {
    expect(faults(`${x}%3: f32[tokens, 4] = custom(%2) {layer "triple", attrs {}}\nreturn`)).toEqual([]);
    expect(faults(`${x}%3: f32[tokens, 3] = custom(%2) {layer "triple", attrs {}}\nreturn`)).toEqual(['`custom` %3: the result is f32[tokens, 3], not f32[tokens, 4]']);
    expect(faults(`${x}%3: f32[tokens, 4] = custom(%2) {layer "other", attrs {}}\nreturn`)).toEqual(['`custom` %3: the module has no custom layer `other`']);
  });
});
