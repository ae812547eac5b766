/**
 * Every code the compiler can show, once, never reused. 1xxx reading ONNX · 2xxx reading a model folder and weights ·
 * 3xxx recognising · 4xxx planning and lowering · 5xxx programs and texts · 6xxx running. Each has a page `docs/errors/<code>.md`.
 */
export const catalogue = {
  E1001: { severity: 'error', title: 'the file is not a readable ONNX model' },
  E1002: { severity: 'error', title: 'external data is missing or not allowed' },
  E1003: { severity: 'error', title: 'the graph is not well formed' },
  E1004: { severity: 'error', title: 'the model exceeds a limit of the reader' },
  E1005: { severity: 'error', title: 'an operator is not known' },
  W1006: { severity: 'warning', title: 'a node breaks a rule of ONNX, and is read as it is meant' },
  W1007: { severity: 'warning', title: 'the file is several models in one, and one of them is taken' },
  E2001: { severity: 'error', title: 'config.json cannot be read' },
  E2002: { severity: 'error', title: 'the model type is not supported' },
  E2003: { severity: 'error', title: 'a config field has a value that cannot be compiled' },
  E2004: { severity: 'error', title: 'a config field is not known' },
  E2005: { severity: 'error', title: 'a checkpoint tensor is missing or has the wrong shape' },
  E2006: { severity: 'error', title: 'a weight file cannot be read' },
  E2007: { severity: 'error', title: 'a layer is not a transformer layer' },
  W2008: { severity: 'warning', title: 'a config field or tensor is not used' },
  E3001: { severity: 'error', title: 'a node was not recognised as part of a transformer' },
  E3002: { severity: 'error', title: 'the network is not a transformer' },
  E3003: { severity: 'error', title: 'a custom layer is not well formed' },
  E3004: { severity: 'error', title: 'fewer blocks are recognised than asked for' },
  E4001: { severity: 'error', title: 'the model does not fit the machine' },
  E4002: { severity: 'error', title: 'the mapping cannot be used' },
  E4003: { severity: 'error', title: 'the backend does not support this yet' },
  E4004: { severity: 'error', title: 'the tiling plan cannot be applied' },
  E5001: { severity: 'error', title: 'the text does not parse' },
  E5002: { severity: 'error', title: 'the program file is not valid' },
  E5003: { severity: 'error', title: 'an instruction is not legal' },
  E5004: { severity: 'error', title: 'the module breaks a rule of the IR' },
  E6001: { severity: 'error', title: 'the program stopped with a fault' },
  E6002: { severity: 'error', title: 'a step is none the program can run' },
} as const satisfies Record<string, { severity: 'error' | 'warning'; title: string }>;

export type Code = keyof typeof catalogue;
