// One agent's errand with a published client and a wallet on Solana: buy a number, list, call from it, read the call
// to its end, top up. Prints one JSON object with every answer.
//
// environment: CLIENT, NODE_URL, CHAIN_URL, WALLET_KEY (64 bytes, base58)
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { CLIENT, NODE_URL, CHAIN_URL, WALLET_KEY } = process.env;
const require = createRequire(process.cwd() + '/package.json');
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { createKeyPairSignerFromBytes, getBase58Encoder } = await load('@solana/kit');
const signer = await createKeyPairSignerFromBytes(getBase58Encoder().encode(WALLET_KEY));

async function json(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${JSON.stringify(body)}`);
  return body;
}

// x402 version 1. Its own signer, since it brings its own library for Solana.
async function version1() {
  const { wrapFetchWithPayment, createSigner, decodeXPaymentResponse } = await load('x402-fetch');
  const own = await createSigner('solana', WALLET_KEY);
  const config = { svmConfig: { rpcUrl: CHAIN_URL } };
  const paying = wrapFetchWithPayment(fetch, own, 25_000_000n, undefined, config);
  return { paying, receipt: (headers) => decodeXPaymentResponse(headers.get('x-payment-response')) };
}

async function version2() {
  const { wrapFetchWithPaymentFromConfig, decodePaymentResponseHeader } = await load('@x402/fetch');
  const { ExactSvmScheme } = await load('@x402/svm');
  const client = new ExactSvmScheme(signer, { rpcUrl: CHAIN_URL });
  const schemes = [{ network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp', client }];
  const paying = wrapFetchWithPaymentFromConfig(fetch, { schemes, spendControls: false });
  return { paying, receipt: (headers) => decodePaymentResponseHeader(headers.get('payment-response')) };
}

const { paying, receipt } = await { 'x402-fetch': version1, '@x402/fetch': version2 }[CLIENT]();
const receipts = [];

async function post(path, body) {
  const response = await paying(NODE_URL + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const told = await json(response);
  receipts.push(receipt(response.headers));
  return told;
}

// Reads until the call is over, for half a minute.
async function toItsEnd(id) {
  for (let i = 0; i < 300; i++) {
    const call = await json(await fetch(`${NODE_URL}/api/x402/call/${id}`));
    if (call.completed) return call;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('the call does not end');
}

const bought = await post('/api/x402/number', { area_code: '415' });
const list = await json(await fetch(`${NODE_URL}/api/x402/numbers?wallet=${signer.address}`));
const task = 'Ask the dentist for the opening hours on Friday.';
const call = await post('/api/x402/call', { phone_number: '+14155550123', task, from: bought.phone_number });
const told = await toItsEnd(call.call_id);
const renewed = await post('/api/x402/number/topup', { phone_number: bought.phone_number });
process.stdout.write(JSON.stringify({ bought, list, call, told, renewed, receipts }));
process.exit(0);
