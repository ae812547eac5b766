import type { Activation } from './instructions.ts';

/** Functions of one value that are no single IEEE operation; `exp` is a micro-operation of `vmap`; `exp2`, `cos` and `sin` are used within softmax and rope. */
export type TableFunction = Exclude<Activation, 'none' | 'relu'> | 'exp' | 'exp2' | 'cos' | 'sin';

/** Largest distance from the exact value in units of its last place (FP32), up to 1e-6; the FP32 code of the input; results that are not the nearest. */
export type Errors = { readonly ulps: number; readonly worst: string; readonly misrounded: number; readonly compared: number };

export type Accuracy = {
  readonly bf16: Errors;
  readonly f32: Errors;
  /** SHA-256 of the results as little-endian FP32 words, NaN 0x7FC00000, in the order of the inputs' codes. */
  readonly bf16Sha256: string;
  readonly f32Sha256: string;
};

/**
 * What each function gives, measured against series of 448 binary places. `bf16`: over all 65,536 BF16 codes. `f32`: over every 65,537th
 * FP32 code; its hash over every 4,097th. Inputs and results that are not finite are hashed but have no distance.
 */
export const accuracy: { readonly [F in TableFunction]: Accuracy } = {
  exp2: {
    bf16: { ulps: 0.5, worst: '0xc3160000', misrounded: 0, compared: 49792 },
    f32: { ulps: 0.499986, worst: '0xbdaabdaa', misrounded: 0, compared: 49792 },
    bf16Sha256: 'a20c8034fb44bd48ac1d1ba773536914ef1b9acb303117fc0f119a5aaa0dc237',
    f32Sha256: '6c8a9360c8f0610ab76d82d400c80062a4ff2b4ecaf082b158e8bcf75af45b04',
  },
  exp: {
    bf16: { ulps: 0.5, worst: '0xb3000000', misrounded: 0, compared: 49714 },
    f32: { ulps: 0.499972, worst: '0x42584258', misrounded: 0, compared: 49714 },
    bf16Sha256: '7ebcb48b7268bbd5397ad23f8eb32bf0974990fd24f89116d2fdbc5eed6ec31f',
    f32Sha256: '4ea38cf8ab860302aedeb4b281ab9bfdeff22bb83436f8084f8ac750703cec15',
  },
  sigmoid: {
    bf16: { ulps: 0.500001, worst: '0xb77f0000', misrounded: 63, compared: 65280 },
    f32: { ulps: 0.499945, worst: '0x3cd53cd5', misrounded: 0, compared: 65280 },
    bf16Sha256: 'ba58a7000eee6bd89c336cf4fcab44fb2de19236ecac23999d55746cd8a8a8f9',
    f32Sha256: 'e53fefd01cc50d67e46693264c553bb17c4e936848808cebfdec43022c1bd029',
  },
  silu: {
    bf16: { ulps: 0.5, worst: '0x34000000', misrounded: 0, compared: 65280 },
    f32: { ulps: 0.5, worst: '0x00010001', misrounded: 0, compared: 65280 },
    bf16Sha256: '5ca86ade57b86df8de033276498764068e933bdb7d06d90a575119ee486cc0cf',
    f32Sha256: '82450a3d66b3075d4558aa16a31101dcbb2528f2c9791134e428f1294f8d7779',
  },
  gelu: {
    bf16: { ulps: 0.499957, worst: '0x3c050000', misrounded: 0, compared: 65280 },
    f32: { ulps: 0.5, worst: '0x00010001', misrounded: 0, compared: 65280 },
    bf16Sha256: 'b98e303dfea0e3b41d4a4db31e70fa89fb6ee8f3d582ae91201a0e75c1f7f71d',
    f32Sha256: '63bb165a6ee2ab2b737d87de9dbadcbc07f8e275747406dbb0497a00186a36af',
  },
  gelu_tanh: {
    bf16: { ulps: 0.499963, worst: '0x3d7a0000', misrounded: 0, compared: 65280 },
    f32: { ulps: 0.5, worst: '0x00010001', misrounded: 0, compared: 65280 },
    bf16Sha256: 'd2b0e228d059fd8566178991a86601ae2f640fbffe020a7758f25aab9a427472',
    f32Sha256: '955530bcc2d0d66e6d3f6f424a55d1ca2e7bd59305948b73c1d41a9cab6e9d64',
  },
  tanh: {
    bf16: { ulps: 0.499665, worst: '0x3fbd0000', misrounded: 0, compared: 65280 },
    f32: { ulps: 0.499992, worst: '0xba27ba27', misrounded: 0, compared: 65280 },
    bf16Sha256: '885e4065d9331882d99665b1e350c985d7ee91eb87c746cc25262aad78e7a906',
    f32Sha256: '673d0cdb45ec9d4ed01c048d5e673e7ff32057b54b6432f6e72537d226c4485b',
  },
  cos: {
    bf16: { ulps: 0.5, worst: '0x39800000', misrounded: 0, compared: 39294 },
    f32: { ulps: 0.499984, worst: '0x4b044b04', misrounded: 0, compared: 39293 },
    bf16Sha256: 'b29ea8e738b53b60ae306ca63c1b60fbd261ff5fd66808f95db1e34f264327e9',
    f32Sha256: 'cd2b2a8fe51d98eb3d47a51f62fd5c965bce2862989e04211d8c4c92b5287b5d',
  },
  sin: {
    bf16: { ulps: 0.5, worst: '0x3ac00000', misrounded: 0, compared: 39294 },
    f32: { ulps: 0.499999, worst: '0xcafdcafd', misrounded: 0, compared: 39293 },
    bf16Sha256: '19430472e18f63a7172a2c6ef304f960b3ea984f5afea046da7541c9b456e72b',
    f32Sha256: '5038430d9dbfe4365b3d14fdb18a0a424926c848eef93c486c97ebdc46e7ef41',
  },
};
