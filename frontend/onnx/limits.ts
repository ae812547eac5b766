/**
 * What the reader takes from a file at most, far above every published transformer: a hostile file ends in a diagnostic, not in
 * an exhausted machine.
 */
export const limits = {
  /** Messages inside messages (protobuf's own default is 100). */
  depth: 64,
  /** Fields of the whole file. */
  fields: 1 << 24,
  /** Nodes of the whole file, and of the graph once functions are inlined. */
  nodes: 1 << 20,
  functions: 10_000,
  /** Functions calling functions. */
  calls: 64,
  /** Bytes of one name or string attribute. */
  stringBytes: 1 << 20,
  /** Numbers held in memory: list attributes and tensors not stored as raw bytes. */
  numbers: 1 << 26,
  /** Elements of one tensor of known shape, stored or computed. */
  elements: 2 ** 38,
  rank: 16,
} as const;

/** Bytes of tensor data above which only the place in the file is kept. */
export const inlineBytes = 1024;

/** Newest operator set of the default domain whose rules are known. */
export const newestOpset = 28;
