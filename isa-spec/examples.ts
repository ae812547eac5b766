import { hbmBases, type HbmBase, type InstructionOf, type Mnemonic, type Token } from './instructions.ts';

const at = (addr: number, ss = 0) => ({ addr, ss });
const far = (base: HbmBase, off: number, ss = 0) => ({ base: hbmBases.indexOf(base), off, ss });
const tokens = (...semaphores: readonly number[]): readonly Token[] => semaphores.map((semaphore) => ({ semaphore, count: 1 }));

/** Rows of a step in windows of 512, one a pass of loop level 0; R1 has how many tokens there are. */
const rows = { max: 512, reg: 1, level: 0 };
const none = at(0);
const noTokens = { waits: [], posts: [] };

/** An instruction of each kind that the described chip may run, as it comes in a layer of hidden size 8192 with 64 heads of 128. */
export const examples: { readonly [M in Mnemonic]: InstructionOf<M> } = {
  nop: { op: 'nop', waits: tokens(3), posts: tokens(4), fields: {} },
  sync: {
    op: 'sync', waits: tokens(1, 2), posts: tokens(9),
    fields: {
      wait2: 5, wait3: 6, wait4: 0, wait5: 0, post2: 0, post3: 0, post4: 0, post5: 0,
      waitCount2: 1, waitCount3: 2, waitCount4: 0, waitCount5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0,
    },
  },
  loop: { op: 'loop', ...noTokens, fields: { level: 1, count: 80, body: 14 } },
  sreg: { op: 'sreg', ...noTokens, fields: { reg: 1, count: 'tokens' } },
  salu: { op: 'salu', ...noTokens, fields: { function: 'ceildiv', reg: 2, a: 1, b: 0, value: 512, least: 0, most: 5 } },
  call: { op: 'call', ...noTokens, fields: { target: 24, frame: 12 } },
  ret: { op: 'ret', ...noTokens, fields: {} },
  setp: { op: 'setp', ...noTokens, fields: { compare: 'gt', target: 1, reg: 2, value: 0 } },
  trace: { op: 'trace', ...noTokens, fields: { kind: 'assert', tag: 7, reg: 1, least: 1, most: 2175 } },
  hostw: { op: 'hostw', waits: [], posts: tokens(1), fields: { table: 'positions', dst: at(0x40), bytes: 8700 } },
  event: { op: 'event', waits: tokens(12), posts: [], fields: { tag: 1 } },
  dld: { op: 'dld', waits: tokens(20), posts: tokens(21), fields: { src: far('weights', 0x80000, 2), srcPitch: 1024, dst: at(0x100000, 3), dstPitch: 1024, lines: 1024, rows: { max: 32, reg: 0, level: 0 } } },
  dst: { op: 'dst', waits: tokens(22), posts: tokens(23), fields: { src: at(0x20000, 1), srcPitch: 256, dst: far('scratch', 0x1000, 2), dstPitch: 256, lines: 256, rows } },
  dcp: { op: 'dcp', ...noTokens, fields: { fill: false, src: at(0x20000, 1), srcPitch: 256, dst: at(0x60000, 1), dstPitch: 128, lines: 128, value: 0, rows } },
  dgat: { op: 'dgat', waits: tokens(1), posts: tokens(24), fields: { src: far('weights', 0), srcPitch: 256, dst: at(0x20000, 1), dstPitch: 256, index: 0, lines: 256, rows } },
  dsct: { op: 'dsct', waits: tokens(25), posts: tokens(26), fields: { src: at(0x30000, 1), srcPitch: 32, dst: far('kv', 0, 4), dstPitch: 16, index: 0x100, lines: 16, rows } },
  wld: { op: 'wld', waits: tokens(21), posts: tokens(20), fields: { format: 'e4m3', src: at(0x100000, 1), kTiles: 4, nTiles: 32, split: 1 } },
  mm: { op: 'mm', waits: tokens(30), posts: tokens(31), fields: { format: 'e4m3', accumulate: 'first', split: 1, a: at(0x20000, 1), pitch: 128, acc: at(0, 2), kTiles: 4, kLast: 256, nTiles: 32, rows } },
  epi: {
    op: 'epi', waits: tokens(31), posts: tokens(30, 32),
    fields: {
      format: 'bf16', activation: 'silu', scale: true, bias: false, residual: false, gated: true, split: 1,
      acc: at(0, 1), out: at(0x60000, 2), pitch: 128, params: at(0x1000, 3), residualAt: none, rowScale: 0x200, nTiles: 32, nLast: 256, rows,
    },
  },
  aq: { op: 'aq', waits: tokens(40), posts: [], fields: { format: 'e4m3', q: at(0x70000, 1), pitch: 128, worklist: 0x300, heads: 64, headDim: 128, scale: Math.fround(1 / Math.sqrt(128)), rows } },
  attn: { op: 'attn', waits: tokens(26), posts: [], fields: { format: 'e4m3', mask: 'causal', kv: far('kv', 0, 1), pages: 0x400, pageRows: 64, kvLines: 16, kvHeads: 8, window: 0 } },
  afin: { op: 'afin', waits: [], posts: tokens(40, 41), fields: { format: 'bf16', out: at(0x80000, 1), pitch: 256, rows } },
  vmap: {
    op: 'vmap', waits: tokens(41), posts: tokens(42),
    fields: { function: 'multiply', second: 'add', xFormat: 'bf16', yFormat: 'bf16', format: 'bf16', yIs: 'vector', x: at(0x80000, 1), xPitch: 256, y: at(0x1800), yPitch: 0, out: at(0x90000, 1), outPitch: 256, columns: 8192, rows },
  },
  vmap3: {
    op: 'vmap3', ...noTokens,
    fields: { function: 'subtract', second: 'multiply', xFormat: 'bf16', yFormat: 'f32', zFormat: 'bf16', format: 'bf16', yIs: 'list', x: at(0x80000, 1), y: at(0x500), z: at(0x90000, 1), out: at(0xa0000, 1), columns: 8192, rows },
  },
  vred: { op: 'vred', ...noTokens, fields: { reduce: 'meanSquare', xFormat: 'bf16', x: at(0x20000, 1), xPitch: 256, out: 0x500, columns: 8192, rows } },
  vnorm: { op: 'vnorm', waits: tokens(24), posts: tokens(43), fields: { xFormat: 'bf16', format: 'bf16', kind: 'rms', x: at(0x20000, 1), xPitch: 256, params: at(0x2000, 2), out: at(0x90000, 1), outPitch: 256, columns: 8192, rows } },
  vrope: {
    op: 'vrope', ...noTokens,
    fields: { xFormat: 'bf16', format: 'e4m3', interleaved: false, x: at(0x90000, 1), xPitch: 256, table: at(0x3000, 2), out: at(0x70000, 1), outPitch: 128, headDim: 128, rotary: 128, heads: 64, rows },
  },
  vqnt: { op: 'vqnt', waits: tokens(43), posts: tokens(30), fields: { xFormat: 'bf16', format: 'e4m3', x: at(0x90000, 1), xPitch: 256, out: at(0x20000, 2), outPitch: 128, rowScale: 0x200, columns: 8192, rows } },
  vqblk: { op: 'vqblk', ...noTokens, fields: { xFormat: 'bf16', format: 'e4m3', scaling: 'mx', pow2: false, x: at(0x90000, 1), xPitch: 256, out: at(0x20000, 2), outPitch: 128, scales: at(0x28000, 3), scalePitch: 4, columns: 8192, rows } },
  sample: { op: 'sample', waits: tokens(44), posts: tokens(12), fields: { mode: 'draw', xFormat: 'bf16', x: at(0x40000), xPitch: 4008, params: at(0x600), out: 0x700, columns: 128256, rows: { max: 64, reg: 3, level: 0 } } },
  route: {
    op: 'route', ...noTokens,
    fields: { scores: 'softmax', normalise: true, bias: false, xFormat: 'f32', x: at(0xb0000), xPitch: 1, biases: 0, indices: 0x800, weights: 0x900, offsets: 0xa00, experts: 8, k: 2, rows },
  },
  perm: { op: 'perm', ...noTokens, fields: { direction: 'combine', xFormat: 'bf16', format: 'bf16', x: at(0xc0000), xPitch: 128, out: at(0x80000, 1), outPitch: 128, indices: 0x800, weights: 0x900, columns: 4096, k: 2, rows } },
  bin: { op: 'bin', ...noTokens, fields: { indices: 0x800, offsets: 0xa00, sources: 0xb00, targets: 0xc00, owners: 0xd00, experts: 8, k: 2, size: 256, rows } },
  mix: { op: 'mix', ...noTokens, fields: { xFormat: 'bf16', format: 'bf16', x: at(0xc0000), xPitch: 128, weights: at(0x900), out: at(0x80000, 1), outPitch: 128, columns: 4096, k: 2, rows } },
  coll: { op: 'coll', waits: tokens(32), posts: tokens(45), fields: { kind: 'allreduce', format: 'bf16', src: at(0x60000, 1), srcPitch: 256, out: at(0x80000, 1), outPitch: 256, bytes: 16384, tag: 17, rows } },
};
