/** A probed number without the noise of probing: its nearest FP32 value if that is what it is, else twelve digits. */
export function tidy(value: number): number {
  const single = Math.fround(value);
  if (Math.abs(single - value) <= 1e-9 * Math.abs(value)) return single;
  return Number(value.toPrecision(12));
}
