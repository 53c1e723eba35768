import { expect, test } from 'vitest';
import { dollars, sumUsd } from '../../src/core/money.ts';

test.each([
  [['0.1', '0.2'], '0.3'],
  [['0.000000000001', '999999.999999999999'], '1000000'],
  [['1', null, '0'], '1'],
  [[], null],
  [[null], null],
])('%j is %s together, exactly', (amounts, sum) => {
  expect(sumUsd(amounts)).toBe(sum);
});

test.each([
  ['0', '$0.00'],
  ['0.00009', 'under $0.0001'],
  ['0.0001', '$0.0001'],
  ['0.019375', '$0.0194'],
  ['1234.567', '$1,234.57'],
])('%s is read as %s', (amount, shown) => {
  expect(dollars(amount)).toBe(shown);
});
