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

/** Functions by name and a memory of their own; undefined where WebAssembly SIMD is missing, or gigabytes of addresses for one more memory are. */
export function instantiate<Name extends string>(definitions: readonly Definition<Name>[]): { readonly functions: { readonly [N in Name]: Call }; readonly memory: Memory } | undefined {
  const host = (globalThis as { readonly WebAssembly?: Host }).WebAssembly;
  const bytes = assemble(definitions);
  if (host === undefined || !host.validate(bytes)) return undefined;
  try {
    const memory = new host.Memory({ initial: 1 });
    const { exports } = new host.Instance(new host.Module(bytes), { env: { memory } });
    return { functions: exports as { readonly [N in Name]: Call }, memory };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Makes a memory that long, at least; returns whether it grew, which detaches the views taken before. */
export function growTo(memory: Memory, bytes: number): boolean {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes));
  return missing > 0;
}
