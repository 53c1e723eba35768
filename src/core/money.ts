/** US dollars as decimal numbers in text: summed exactly, rounded only where a person reads them. */

const DECIMALS = 12;

/** The sum; null where nothing of it is known. */
export function sumUsd(amounts: readonly (string | null)[]): string | null {
  const known = amounts.filter((each) => each !== null);
  return known.length === 0 ? null : textOf(known.reduce((sum, each) => sum + unitsOf(each), 0n));
}

function unitsOf(amount: string): bigint {
  const [whole = '', part = ''] = amount.split('.');
  return BigInt(whole + part.padEnd(DECIMALS, '0').slice(0, DECIMALS));
}

function textOf(units: bigint): string {
  const digits = String(units).padStart(DECIMALS + 1, '0');
  return `${digits.slice(0, -DECIMALS)}.${digits.slice(-DECIMALS)}`.replace(/\.?0+$/, '');
}

/** `$12.35`, `$0.0194`, and `under $0.0001` for what is less than that. */
export function dollars(amount: string): string {
  const value = Number(amount);
  if (value > 0 && value < 0.0001) return 'under $0.0001';
  const decimals = value >= 1 ? 2 : 4;
  const text = value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: decimals });
  return `$${text}`;
}
