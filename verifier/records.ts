/** Records of `width` whole numbers each, oldest first, in one array: what a walk notes of every instruction, without an object for each. */
export class Records {
  readonly width: number;
  /** Those of record n are beside each other, from n * width on. */
  numbers: Int32Array;
  /** The oldest, and one past the newest. */
  first = 0;
  end = 0;

  constructor(width: number) {
    this.width = width;
    this.numbers = new Int32Array(width * firstRoom);
  }

  get length(): number {
    return this.end - this.first;
  }

  /** One more: where its numbers go. The others may move. */
  add(): number {
    const { width, numbers, first, end } = this;
    if (end * width === numbers.length) {
      if (first < end / 2) this.numbers = new Int32Array(2 * numbers.length);
      this.numbers.set(numbers.subarray(first * width));
      this.end -= first;
      this.first = 0;
    }
    return this.end++ * width;
  }
}

const firstRoom = 16;
