// A person at a browser: reads one JSON command a line from stdin, does it in headless Chromium, answers one JSON line.
// What is on the page is found by its label or name, as a person or a screen reader finds it.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { chromium } = require('playwright-core');

const QUIET = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

async function main() {
  const places = process.env.PATH.split(path.delimiter).map((directory) => path.join(directory, 'chromium'));
  const browser = await chromium.launch({
    executablePath: places.find(fs.existsSync),
    // Chromium has no sandbox of its own for root, as whom containers run.
    chromiumSandbox: process.getuid() !== 0,
    args: QUIET,
  });
  const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
  page.setDefaultTimeout(20_000);
  let complaints = [];
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure().errorText}`));
  page.on('response', (response) => { if (response.status() >= 400) complaints.push(`${response.url()}: ${response.status()}`); });
  // A part of the page with its own heading, or the whole of it.
  const within = (heading) => heading ? page.locator('section', { has: page.getByRole('heading', { name: heading, exact: true }) }) : page;
  const doings = {
    open: ({ url }) => page.goto(url),
    reload: () => page.reload(),
    fill: ({ part, label, value }) => within(part).getByLabel(label, { exact: true }).fill(value),
    choose: ({ part, label, value }) => within(part).getByLabel(label, { exact: true }).selectOption({ label: value }),
    press: async ({ part, button }) => {
      await within(part).getByRole('button', { name: button, exact: true }).click();
      await page.waitForLoadState();
    },
    value: ({ part, label }) => within(part).getByLabel(label, { exact: true }).inputValue(),
    text: ({ part }) => (part ? within(part) : page.locator('body')).innerText(),
    select: async ({ selector }) => {
      await page.locator(selector).click();
      return page.evaluate(() => String(getSelection()));
    },
    address: () => page.url(),
    evaluate: ({ script }) => page.evaluate(script),
    screenshot: ({ path }) => page.screenshot({ path, fullPage: true }).then(() => null),
    complaints: () => { const all = complaints; complaints = []; return all; },
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { doing, ...what } = JSON.parse(line);
    if (doing === 'close') break;
    let answer;
    try {
      const value = await doings[doing](what);
      answer = { value: value === undefined || typeof value === 'object' && !Array.isArray(value) ? null : value };
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
  await browser.close();
  process.exit();
}

main().catch((error) => { process.stderr.write(`${error}\n`); process.exitCode = 1; });
