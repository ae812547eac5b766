/** Where a flag belongs: every command, those that compile, or one command. */
export type Scope = 'all' | 'compile' | 'run' | 'fits' | 'asm' | 'opt' | 'diff' | 'verify' | 'report' | 'program';

type Option = { readonly default: string | number | boolean | readonly string[]; readonly scope: readonly Scope[]; readonly value?: string; readonly choices?: readonly string[]; readonly help: string };

/** Where a compile may stop, in order. */
export const phases = ['import', 'canonicalise', 'recognise', 'raise', 'roll', 'fuse', 'shard', 'formats', 'group', 'tile', 'emit', 'time'] as const;
export type Phase = (typeof phases)[number];

/** The command line's options, once: names, defaults, help. A number of 0 means: choose; an N is a whole number. */
export const options = {
  machine: { default: 'sohu', scope: ['compile', 'run', 'fits', 'opt'], value: 'NAME', help: 'machine: a name (see `sohuc machines`) or a .json file' },
  precision: { default: 'fp8', scope: ['compile', 'run', 'fits', 'opt'], choices: ['fp8', 'bf16'], help: 'format of matrix operands' },
  tp: { default: 0, scope: ['compile', 'run', 'opt'], value: 'N', help: 'chips every layer is divided over' },
  ep: { default: 0, scope: ['compile', 'run', 'opt'], value: 'N', help: 'of the chips a layer is divided over, those that whole experts are spread over: 1, every expert is divided too; or as many as `--tp`' },
  pp: { default: 0, scope: ['compile', 'run'], value: 'N', help: 'stages of a pipeline the layers are divided into, each of as many chips as `--tp` says' },
  mapping: { default: '', scope: ['compile', 'run'], value: 'tpNxppM', help: '`--tp N --pp M`; with `xepK` `--ep K`, with `xrR` as many replicas' },
  replicas: { default: 0, scope: ['compile'], value: 'N', help: 'how many times all of the model is on the chips, each for its share of the requests' },
  stages: { default: '', scope: ['compile', 'run'], value: 'LIST', help: 'how many of the layers that are alike each stage of a pipeline has, separated by commas (default: as makes the slowest fastest)' },
  parts: { default: 0, scope: ['compile', 'run', 'fits'], value: 'N', help: 'parts of a step\'s rows: of several, some attend while another multiplies (affects speed, never results)' },
  lend: { default: '', scope: ['compile', 'run'], value: 'N', help: 'matrix arrays the attention unit has besides its own: 0, or all but a half, a quarter or an eighth (default: as the step is fastest)' },
  isl: { default: 0, scope: ['compile', 'run', 'fits'], value: 'N', help: 'input tokens of a request' },
  osl: { default: 0, scope: ['compile', 'run', 'fits'], value: 'N', help: 'output tokens of a request' },
  batch: { default: 0, scope: ['compile', 'run', 'fits'], value: 'N', help: 'requests served at once' },
  prefillRows: { default: 0, scope: ['compile'], value: 'N', help: 'rows of prompts in a step, instead of `--batch`: whole prompts, or a piece of one; as many requests are served at once as that takes' },
  pageRows: { default: 0, scope: ['compile', 'run', 'fits'], value: 'N', help: 'rows of a page of keys and values (affects speed and memory, never results)' },
  stageShare: { default: 0, scope: ['compile', 'run', 'fits'], value: 'X', help: 'share of SRAM an op may stage in (affects speed, never results)' },
  out: { default: '', scope: ['compile', 'asm'], value: 'DIR', help: 'where to write the program (default: beside the source)' },
  weights: { default: true, scope: ['compile'], help: 'pack weights, if the model has them' },
  stopAfter: { default: '', scope: ['compile'], value: 'PHASE', choices: phases, help: 'stop after a phase and print its text' },
  dumpIr: { default: '', scope: ['compile'], value: 'DIR', help: 'write the text of every stage, numbered' },
  explain: { default: '', scope: ['compile', 'report'], value: 'WHAT', choices: ['recognition', 'mapping', 'tiling', 'claim'], help: 'explain what was recognised in an ONNX model, and what stopped the rest; which mappings on the chips were tried; how products are cut and what is kept where; or whether the program can be what the vendor claims, and what of the machine that rests on' },
  tiling: { default: '', scope: ['compile'], value: 'FILE', help: 'a tiling plan to apply instead of finding one: what `--explain tiling --json` prints, perhaps changed (affects speed, never results)' },
  criticalPath: { default: false, scope: ['report'], help: 'print what makes the step as long as it is: the chain of instructions that waited for each other' },
  requireFusion: { default: '', scope: ['compile'], value: 'SHARE', help: 'refuse a model of whose blocks fewer are recognised (`100%` for CI)' },
  plugin: { default: [], scope: ['compile', 'run', 'fits', 'opt', 'diff'], value: 'FILE', help: 'custom layers: a module that exports definitions' },
  fix: { default: [], scope: ['compile', 'run', 'fits'], value: 'INPUT=VALUES', help: 'an input of an ONNX model that is the same in every run, its elements separated by commas' },
  allowLinks: { default: false, scope: ['compile', 'run', 'fits'], help: 'let model files be links' },
  seed: { default: 1, scope: ['run', 'verify'], value: 'N', help: 'seed of made-up weights and inputs, and of mutants' },
  mutate: { default: false, scope: ['verify'], help: 'put faults into the program, and count those the verifier finds' },
  mutants: { default: 100, scope: ['verify'], value: 'N', help: 'mutants of each class of faults' },
  prompt: { default: '', scope: ['run'], value: 'IDS', help: 'token ids, separated by commas; several sequences by `;`' },
  input: { default: [], scope: ['run'], value: 'NAME=FILE', help: 'activations of an input: a tensor as .npy, .pb or .json (default: made up)' },
  generate: { default: 0, scope: ['run'], value: 'N', help: 'tokens to generate after the prompt' },
  compare: { default: false, scope: ['run'], help: 'compare with ONNX Runtime and with the reference interpreters, layer by layer' },
  schedule: { default: 'roundRobin', scope: ['run'], value: 'ORDER', help: 'whose turn it is: roundRobin, early, late or random:SEED (results are the same)' },
  checkRaces: { default: false, scope: ['run'], help: 'stop at accesses to the same memory that nothing orders (slow)' },
  maxInstructions: { default: 1_000_000_000, scope: ['run'], value: 'N', help: 'instructions a step may take' },
  break: { default: [], scope: ['run'], value: 'WHERE', help: 'debug: stop before an op, QUEUE:PC, a mnemonic, or `start`; commands come from stdin' },
  watch: { default: [], scope: ['run'], value: 'TENSOR', help: 'debug: stop when a tensor changes' },
  trace: { default: false, scope: ['run'], help: 'print every instruction as it is run' },
  passes: { default: '', scope: ['opt'], value: 'NAMES', help: 'passes to run, in this order, separated by commas' },
  printAfter: { default: '', scope: ['opt'], value: 'PASS', help: 'print the module after a pass (`all`: after each)' },
  json: { default: false, scope: ['all'], help: 'print machine-readable JSON' },
  quiet: { default: false, scope: ['all'], help: 'print nothing but errors' },
} as const satisfies Readonly<Record<string, Option>>;

type Widened<T> = T extends boolean ? boolean : T extends number ? number : T extends readonly unknown[] ? readonly string[] : string;
/** The options as a command gets them. */
export type Options = { readonly [K in keyof typeof options]: Widened<(typeof options)[K]['default']> };

export const defaults: Options = Object.fromEntries(Object.entries(options).map(([name, option]) => [name, option.default])) as unknown as Options;

/** `stopAfter` as it is typed: `--stop-after`. */
export const flagName = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
