// The published facilitator's scheme behind the three routes of the interface. Prints its port.
//
// environment: CHAIN_URL, FEE_KEY (64 bytes, hexadecimal), SILENT (settles, and does not answer)
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { CHAIN_URL, FEE_KEY, SILENT } = process.env;
const require = createRequire(process.cwd() + '/package.json');
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { createKeyPairSignerFromBytes } = await load('@solana/kit');
const { toFacilitatorSvmSigner } = await load('@x402/svm');
const { ExactSvmScheme } = await load('@x402/svm/exact/facilitator');

const NETWORK = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
const key = await createKeyPairSignerFromBytes(new Uint8Array(Buffer.from(FEE_KEY, 'hex')));
const scheme = new ExactSvmScheme(toFacilitatorSvmSigner(key, { defaultRpcUrl: CHAIN_URL }));

const routes = {
  '/supported': () => ({ kinds: [{ x402Version: 2, scheme: 'exact', network: NETWORK, extra: scheme.getExtra(NETWORK) }],
    extensions: [], signers: {} }),
  '/verify': ({ paymentPayload, paymentRequirements }) => scheme.verify(paymentPayload, paymentRequirements),
  '/settle': ({ paymentPayload, paymentRequirements }) => scheme.settle(paymentPayload, paymentRequirements),
};

const server = createServer(async (request, response) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  try {
    const told = await routes[request.url](text && JSON.parse(text));
    if (SILENT && request.url === '/settle') return request.socket.destroy();
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(told));
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    response.end('{}');
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
