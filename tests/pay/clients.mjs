// One agent's errand with a published client: buy a number, list, call from it, read the call to its end, top
// up. Prints one JSON object with every answer. Packages are found from the working directory.
//
// environment: CLIENT, NODE_URL, WALLET_KEY
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const { CLIENT, NODE_URL, WALLET_KEY } = process.env;
const require = createRequire(process.cwd() + '/package.json');
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const CALLED = '+14155550123';
const TASK = 'Ask the dentist for the opening hours on Friday.';

// Reads until the call is over, for half a minute.
async function toItsEnd(read) {
  for (let i = 0; i < 300; i++) {
    const call = await read();
    if (call.completed || !['queued', 'started', 'ringing', 'in-progress', 'in_progress'].includes(call.status)) return call;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('the call does not end');
}

async function json(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${JSON.stringify(body)}`);
  return body;
}

const posting = (fetch) => async (path, body) =>
  json(await fetch(NODE_URL + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  }));

// x402 version 1.
async function x402Fetch() {
  const { wrapFetchWithPayment, createSigner, decodeXPaymentResponse } = await load('x402-fetch');
  const signer = await createSigner('base', WALLET_KEY);
  const paying = wrapFetchWithPayment(fetch, signer, 25_000_000n);
  let receipt;
  const post = posting(async (...request) => {
    const response = await paying(...request);
    receipt = decodeXPaymentResponse(response.headers.get('x-payment-response'));
    return response;
  });
  const bought = await post('/api/x402/number', { area_code: '415' });
  const list = await json(await fetch(`${NODE_URL}/api/x402/numbers?wallet=${signer.account.address}`));
  const call = await post('/api/x402/call', { phone_number: CALLED, task: TASK, from: bought.phone_number });
  const told = await toItsEnd(async () => json(await fetch(`${NODE_URL}/api/x402/call/${call.call_id}`)));
  const renewed = await post('/api/x402/number/topup', { phone_number: bought.phone_number });
  return { bought, list, call, told, renewed, receipt };
}

// x402 version 2, and sign-in with the wallet.
async function x402Fetch2() {
  const { wrapFetchWithPaymentFromConfig, decodePaymentResponseHeader } = await load('@x402/fetch');
  const { ExactEvmScheme } = await load('@x402/evm');
  const { createSIWxPayload, encodeSIWxHeader } = await load('@x402/extensions/sign-in-with-x');
  const { privateKeyToAccount } = await load('viem/accounts');
  const account = privateKeyToAccount(WALLET_KEY);
  const schemes = [{ network: 'eip155:8453', client: new ExactEvmScheme(account) }];
  const paying = wrapFetchWithPaymentFromConfig(fetch, { schemes, spendControls: false });
  let receipt;
  const post = posting(async (...request) => {
    const response = await paying(...request);
    receipt = decodePaymentResponseHeader(response.headers.get('payment-response'));
    return response;
  });
  const read = async (path) => {
    const asked = await (await fetch(NODE_URL + path)).json();
    const { info, supportedChains } = asked.extensions['sign-in-with-x'];
    const payload = await createSIWxPayload({ ...info, ...supportedChains[0] }, account, NODE_URL);
    return json(await fetch(NODE_URL + path, { headers: { 'SIGN-IN-WITH-X': encodeSIWxHeader(payload) } }));
  };
  const bought = await post('/api/number', { area_code: '415' });
  const list = await read('/api/numbers');
  const call = await post('/api/call', { phone_number: CALLED, task: TASK, from: bought.phone_number });
  const told = await toItsEnd(() => read(`/api/call/${call.call_id}`));
  const renewed = await post('/api/number/topup', { phone_number: bought.phone_number });
  return { bought, list, call, told, renewed, receipt };
}

async function blockrun() {
  const { PhoneClient, VoiceClient } = await load('@blockrun/llm');
  const options = { privateKey: WALLET_KEY, apiUrl: `${NODE_URL}/api` };
  const [phone, voice] = [new PhoneClient(options), new VoiceClient(options)];
  const bought = await phone.buyNumber({ country: 'US', areaCode: '415' });
  const list = await phone.listNumbers();
  const looked = await phone.lookup(CALLED);
  const fraud = await phone.lookupFraud(CALLED).catch((error) => error.statusCode);
  const call = await voice.call({ to: CALLED, task: TASK, from: bought.phone_number, maxDuration: 2 });
  const told = await toItsEnd(() => voice.getStatus(call.call_id));
  const renewed = await phone.renewNumber(bought.phone_number);
  const released = await phone.releaseNumber(bought.phone_number);
  return { bought, list, looked, fraud, call, told, renewed, released };
}

// The command, each time a process of its own as agents run it. Its balance service is at a fixed address:
// agentcash-preload.mjs puts the chain's balance in its place.
async function agentcash() {
  const program = `${process.cwd()}/node_modules/agentcash/dist/esm/index.js`;
  const preload = new URL('agentcash-preload.mjs', import.meta.url).href;
  const run = async (path, body) => {
    const paying = body ? ['-m', 'POST', '-b', JSON.stringify(body), '-H', 'Content-Type: application/json'] : [];
    const args = ['--import', preload, program, 'fetch', NODE_URL + path, ...paying, '--dev', '-y',
      '--max-amount', '25', '--payment-protocol', 'x402', '--payment-network', 'base', '--format', 'json'];
    const env = { ...process.env, X402_PRIVATE_KEY: WALLET_KEY };
    const ran = await promisify(execFile)(process.execPath, args, { env, timeout: 60_000 })
      .catch((error) => { throw new Error(`agentcash: ${error.stdout}\n${error.stderr}`); });
    const told = JSON.parse(ran.stdout);
    if (!told.success) throw new Error(ran.stdout);
    return told.data;
  };
  const bought = await run('/api/number', { area_code: '415' });
  const list = await run('/api/numbers');
  const call = await run('/api/call', { phone_number: CALLED, task: TASK, from: bought.phone_number });
  const told = await toItsEnd(() => run(`/api/call/${call.call_id}`));
  const renewed = await run('/api/number/topup', { phone_number: bought.phone_number });
  return { bought, list, call, told, renewed };
}

const errand = { 'x402-fetch': x402Fetch, '@x402/fetch': x402Fetch2, '@blockrun/llm': blockrun, agentcash }[CLIENT];
process.stdout.write(JSON.stringify(await errand()));
process.exit(0);
