// With --dev, agentcash asks a service at localhost:3000 how much a wallet has, before it pays. Here the answer
// is the chain's own. Every other request passes.
const USDC = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913';
const real = globalThis.fetch;

globalThis.fetch = async (input, init) => {
  const { host, pathname } = new URL(input instanceof Request ? input.url : input);
  if (host !== 'localhost:3000') return real(input, init);
  if (pathname !== '/api/balance') return new Response('{}', { status: 404 });
  const { address } = await new Request(input, init).json();
  const data = '0x70a08231' + address.slice(2).toLowerCase().padStart(64, '0');
  const call = { jsonrpc: '2.0', id: 1, method: 'eth_call', params: [{ to: USDC, data }, 'latest'] };
  const headers = { 'Content-Type': 'application/json' };
  const answer = await (await real(process.env.CHAIN_URL, { method: 'POST', headers, body: JSON.stringify(call) })).json();
  const balance = Number(BigInt(answer.result)) / 1e6;
  return Response.json({ balance, network: 'eip155:8453', paymentNetwork: 'base', chainId: 8453 });
};
