import { createInterface, type Interface } from 'node:readline';

/** Lines typed at a prompt, or piped in. */
export class Commands {
  readonly interactive: boolean;
  readonly #interface: Interface;
  readonly #lines: AsyncIterator<string>;
  #interrupted = false;

  constructor(input: NodeJS.ReadStream, output: NodeJS.WriteStream) {
    this.interactive = input.isTTY && output.isTTY;
    this.#interface = createInterface({ input, prompt: '(sohuc) ', ...(this.interactive ? { output, terminal: true } : { terminal: false }) });
    this.#interface.on('SIGINT', () => {
      this.#interrupted = true;
    });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  /** The next line; undefined at the end of the input. */
  async next(): Promise<string | undefined> {
    if (this.interactive) this.#interface.prompt();
    const { value, done } = await this.#lines.next();
    return done === true ? undefined : value;
  }

  /** Whether Ctrl-C was typed since this was last asked. */
  interrupted(): boolean {
    const was = this.#interrupted;
    this.#interrupted = false;
    return was;
  }

  close(): void {
    this.#interface.close();
  }
}
