// Pays a challenge with the parts of the published client, and prints the value of `Authorization`.
// The client itself always uses nonces that expire, which anvil's Tempo never puts into a block; so the
// transaction is put together here, with the account's ordinary nonce.
//
// Nothing is estimated, so that transfers which cannot go through are signed, too.
//
// Argument, as JSON: challenge (the value of WWW-Authenticate), rpc, key, and optionally
//   push    send the transaction oneself and show its hash
//   change  what the transaction pays instead: amount, recipient, challengeId, nonce
//   url     buy this with the client as it is published, and print the answer in JSON; with `wallet`, its account
//           is one of a wallet behind JSON-RPC (anvil is one), which signs and sends by itself
import { Challenge, Credential } from 'mppx';
import { Mppx, tempo as tempoMethod } from 'mppx/client';
import { createClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { getTransactionCount, sendRawTransactionSync, signTransaction } from 'viem/actions';
import { Actions } from 'viem/tempo';
import { tempo } from 'viem/tempo/chains';
// How a memo is bound to its challenge; not among the package's exports.
import * as Attribution from './node_modules/mppx/dist/tempo/Attribution.js';

const { challenge: header, rpc, key, push, change = {}, url, wallet } = JSON.parse(process.argv[2]);
if (url) {
  const payer = privateKeyToAccount(key);
  const mppx = Mppx.create({
    polyfill: false,
    methods: [tempoMethod.charge({
      account: wallet ? payer.address : payer,
      getClient: ({ chainId }) => createClient({ chain: { ...tempo, id: chainId }, transport: http(rpc) }),
    })],
  });
  const headers = { 'content-type': 'application/json' };
  const answer = await mppx.fetch(url, { method: 'POST', headers, body: '{}' });
  console.log(JSON.stringify({
    status: answer.status,
    receipt: answer.headers.get('payment-receipt'),
    body: await answer.json(),
  }));
  process.exit(0);
}
const challenge = Challenge.deserialize(header);
const { amount, currency, recipient, methodDetails: { chainId } } = challenge.request;
const account = privateKeyToAccount(key);
const chain = { ...tempo, id: chainId, feeToken: currency };
const client = createClient({ account, chain, transport: http(rpc) });

const call = Actions.token.transfer.call(client, {
  amount: BigInt(change.amount ?? amount),
  memo: Attribution.encode({ challengeId: change.challengeId ?? challenge.id, serverId: challenge.realm }),
  to: change.recipient ?? recipient,
  token: currency,
});
const nonce = change.nonce ?? (await getTransactionCount(client, { address: account.address }));
const transaction = await signTransaction(client, {
  account, chain, calls: [call], nonceKey: 0n, nonce, feeToken: currency, type: 'tempo',
  gas: 1_000_000n, maxFeePerGas: 50_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n,
});
let payload = { type: 'transaction', signature: transaction };
if (push) {
  const receipt = await sendRawTransactionSync(client, { serializedTransaction: transaction });
  payload = { type: 'hash', hash: receipt.transactionHash };
}
const source = `did:pkh:eip155:${chainId}:${account.address}`;
console.log(Credential.serialize({ challenge, payload, source }));
