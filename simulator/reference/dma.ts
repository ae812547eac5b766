/**
 * Lines a unit moves between SRAM and HBM. A line takes the channel for `cost` cycles (its bytes over the rate its runs reach); the i-th is
 * not asked for before `from + i * pace`. `move(line)` starts a line and gives what its arrival does.
 */
export type Transfer = {
  readonly lines: number;
  readonly cost: number;
  readonly from: number;
  readonly pace: number;
  readonly move: (line: number) => () => void;
  /** When the last line has left the channel, and when it has arrived. */
  readonly completed: { left: number | undefined; done: number | undefined };
};

/** Of times, for rounding. */
const tolerance = 1e-6;

type Client = { transfer: Transfer | undefined; line: number; served: number };
type Arrival = { readonly time: number; readonly arrive: () => void };

/**
 * The HBM channel, shared fairly (start-time fair queueing): one line at a time, of the unit served least among those that want one, in turn if
 * alike; a unit that wanted nothing for a while has not saved up for it. What a line moves takes effect `latency` cycles after it left the channel.
 */
export class HbmChannel {
  readonly #latency: number;
  readonly #clients: Client[];
  readonly #arrivals: Arrival[] = [];
  /** When the channel is free, to a fraction of a cycle. */
  #free = 0;
  /** The unit served last, and how far it had been served before. */
  #last: Client | undefined;
  #virtual = 0;

  constructor(clients: number, latency: number) {
    this.#latency = latency;
    this.#clients = Array.from({ length: clients }, () => ({ transfer: undefined, line: 0, served: 0 }));
  }

  /** Starts a unit's transfer of at least one line. */
  begin(client: number, transfer: Transfer): void {
    const own = this.#clients[client]!;
    own.served = Math.max(own.served, this.#virtual);
    own.transfer = transfer;
    own.line = 0;
  }

  /** What has arrived when a cycle begins. */
  deliver(cycle: number): void {
    for (let next = this.#arrivals[0]; next !== undefined && next.time <= cycle; next = this.#arrivals[0]) {
      next.arrive();
      this.#arrivals.shift();
    }
  }

  step(cycle: number): void {
    while (this.#free < cycle + 1) {
      const client = this.#next(cycle);
      if (client === undefined) return;
      this.#send(client, client.transfer!, cycle);
    }
  }

  #next(cycle: number): Client | undefined {
    const wanting = this.#clients.filter(({ transfer, line }) => transfer !== undefined && transfer.from + line * transfer.pace < cycle + 1);
    const before = (one: Client, other: Client): boolean => (Math.abs(one.served - other.served) > tolerance ? one.served < other.served : other === this.#last);
    return wanting.reduce<Client | undefined>((least, client) => (least === undefined || before(client, least) ? client : least), undefined);
  }

  #send(client: Client, transfer: Transfer, cycle: number): void {
    const wanted = transfer.from + client.line * transfer.pace;
    this.#free = Math.max(this.#free, cycle, wanted) + transfer.cost;
    this.#last = client;
    this.#virtual = client.served;
    client.served += transfer.cost;
    const left = Math.ceil(this.#free - tolerance);
    this.#arrivals.push({ time: left + this.#latency, arrive: transfer.move(client.line) });
    if (++client.line < transfer.lines) return;
    client.transfer = undefined;
    transfer.completed.left = left;
    transfer.completed.done = left + this.#latency;
  }
}
