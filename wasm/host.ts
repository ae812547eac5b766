import { assemble, type Definition } from './assembler.ts';

/** A function of 32-bit integers; addresses are bytes of its memory. */
export type Call = (...args: readonly number[]) => number;
export type Memory = { readonly buffer: ArrayBuffer; grow(pages: number): number };

/** What is used of the engine's WebAssembly, which no type library of a program without a browser declares. */
type Host = {
  readonly validate: (bytes: Uint8Array) => boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (limits: { readonly initial: number }) => Memory;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
};

const pageBytes = 1 << 16;

type Instance<Name extends string> = { readonly functions: { readonly [N in Name]: Call }; readonly memory: Memory };

/**
 * Makes functions by name and a memory of their own, each time; undefined where WebAssembly SIMD is missing, or gigabytes of addresses for one more
 * memory are. The module is assembled when it is first wanted.
 */
export function instances<Name extends string>(definitions: () => readonly Definition<Name>[]): () => Instance<Name> | undefined {
  const host = (globalThis as { readonly WebAssembly?: Host }).WebAssembly;
  let module: object | undefined;
  const compiled = (): object | undefined => {
    const bytes = assemble(definitions());
    return host?.validate(bytes) === true ? new host.Module(bytes) : undefined;
  };
  return () => {
    module ??= compiled();
    if (host === undefined || module === undefined) return undefined;
    try {
      const memory = new host.Memory({ initial: 1 });
      const { exports } = new host.Instance(module, { env: { memory } });
      return { functions: exports as { readonly [N in Name]: Call }, memory };
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  };
}

/** Makes a memory that long, at least; returns whether it grew, which detaches the views taken before. */
export function growTo(memory: Memory, bytes: number): boolean {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes));
  return missing > 0;
}
