"use strict";
// What the page's data holds in base64, and numbers in words.

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Differences modulo 2^16 [number, time] -> numbers of the same shape.
function accumulate(buffer, times) {
  const steps = new Uint16Array(buffer), numbers = new Int16Array(steps.length);
  for (let row = 0; row < steps.length; row += times)
    for (let i = row, sum = 0; i < row + times; i++) numbers[i] = sum = (sum + steps[i]) & 0xffff;
  return numbers;
}

// With so many digits; never a negative zero.
function fixed(x, digits = 2) {
  const text = x.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

// About three digits.
function short(x) {
  return Math.abs(x) >= 1000 ? fixed(x, 0) : String(Number(x.toPrecision(3)) + 0);
}

// Round numbers from `low` to `high`, at most `most` of them.
function ticks(low, high, most) {
  const rough = (high - low) / Math.max(most - 1, 1) || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((x) => x * power >= rough * (1 - 1e-9)), found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}
