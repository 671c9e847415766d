// A cluster of one: LiteSVM, which runs Solana's own virtual machine and the real token program, behind the part of
// the JSON-RPC that the clients and this node ask. Circle's USDC has its mint's canonical address. Prints its port.
//
// Methods that begin with `test_` are a test's: they hand out tokens, age blockhashes, lose answers.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.cwd() + '/package.json');
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { LiteSVM, FailedTransactionMetadata } = require('litesvm');
const { address, getAddressEncoder, getAddressDecoder, getTransactionDecoder, getCompiledTransactionMessageDecoder,
  getBase58Decoder } = require('@solana/kit');
const { findAssociatedTokenPda, TOKEN_PROGRAM_ADDRESS } = await load('@solana-program/token');

const USDC = address('EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v');
const GENESIS = '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d';
const [encode, decode] = [getAddressEncoder(), getAddressDecoder()];
const base58 = getBase58Decoder();

const svm = new LiteSVM();
const mint = Buffer.alloc(82);
mint.writeUInt32LE(1, 0);
mint.set(encode.encode(USDC), 4);
mint[44] = 6; // decimals
mint[45] = 1; // initialised
put(USDC, mint, TOKEN_PROGRAM_ADDRESS);

function put(at, data, owner) {
  const lamports = svm.minimumBalanceForRentExemption(BigInt(data.length));
  svm.setAccount({ address: at, data: new Uint8Array(data), executable: false, lamports, programAddress: owner,
    space: BigInt(data.length) });
}

// What has landed, by signature; what was asked, by method; what happens to the next `sendTransaction`.
const landed = new Map();
const asked = {};
let [height, fault] = [1000, null];

const held = (data) => ({ mint: decode.decode(data.subarray(0, 32)), owner: decode.decode(data.subarray(32, 64)),
  amount: data.readBigUInt64LE(64) });

function tokens(accounts) {
  return accounts.flatMap((at, accountIndex) => {
    const account = svm.getAccount(at);
    if (!account.exists || account.programAddress !== TOKEN_PROGRAM_ADDRESS || account.data.length !== 165) return [];
    const { mint, owner, amount } = held(Buffer.from(account.data));
    return [{ accountIndex, mint, owner, programId: TOKEN_PROGRAM_ADDRESS,
      uiTokenAmount: { amount: String(amount), decimals: 6 } }];
  });
}

class Refusal extends Error {
  constructor(code, message, data) { super(message); Object.assign(this, { code, data }); }
}

// As the JSON-RPC writes a TransactionError. LiteSVM numbers those without fields.
const ERRORS = { 1: 'AccountLoadedTwice', 2: 'AccountNotFound', 4: 'InsufficientFundsForFee', 6: 'AlreadyProcessed',
  7: 'BlockhashNotFound', 11: 'SignatureFailure' };

function why(failed) {
  const err = failed.err();
  if (typeof err === 'number') return ERRORS[err] ?? `TransactionError${err}`;
  const custom = failed.meta().logs().join('\n').match(/failed: custom program error: (0x[0-9a-f]+)/);
  return { InstructionError: [2, custom ? { Custom: Number(custom[1]) } : 'GenericError'] };
}

const wire = (text) => {
  const bytes = Buffer.from(text, 'base64');
  try {
    const transaction = getTransactionDecoder().decode(bytes);
    const message = getCompiledTransactionMessageDecoder().decode(transaction.messageBytes);
    const signature = Object.values(transaction.signatures)[0];
    const isSigned = Object.values(transaction.signatures).every((one) => one?.some((byte) => byte !== 0));
    const name = signature && base58.decode(signature);
    return { bytes, transaction, accounts: message.staticAccounts, name, isSigned };
  } catch (error) {
    throw new Refusal(-32602, `failed to decode: ${error.message}`);
  }
};

const UNSIGNED = new Refusal(-32003, 'Transaction signature verification failure');

function tried({ transaction, isSigned }, { sigVerify = false, replaceRecentBlockhash = false }) {
  if (sigVerify && !isSigned) throw UNSIGNED;
  svm.withSigverify(sigVerify).withBlockhashCheck(!replaceRecentBlockhash);
  try { return svm.simulateTransaction(transaction); }
  finally { svm.withSigverify(true).withBlockhashCheck(true); }
}

function send(text) {
  const sent = wire(text);
  if (!sent.isSigned) throw UNSIGNED;
  const before = tokens(sent.accounts);
  const result = svm.sendTransaction(sent.transaction);
  if (result instanceof FailedTransactionMetadata) {
    const err = why(result);
    throw new Refusal(-32002, `Transaction simulation failed: ${JSON.stringify(err)}`,
      { err, logs: result.meta().logs() });
  }
  height += 1;
  landed.set(sent.name, { ...sent, height, before, after: tokens(sent.accounts), time: Math.floor(Date.now() / 1000) });
  return sent.name;
}

const status = ({ height: at }) => ({ slot: at, confirmations: null, err: null,
  confirmationStatus: height - at >= 32 ? 'finalized' : 'confirmed' });
const at = (value) => ({ context: { apiVersion: '3.0.0', slot: height }, value });

const methods = {
  getGenesisHash: () => GENESIS,
  getVersion: () => ({ 'solana-core': '3.0.0' }),
  getHealth: () => 'ok',
  getSlot: () => height,
  getBlockHeight: () => height,
  getFirstAvailableBlock: () => 0,
  getBlockTime: ([slot]) => (slot === 0 ? 1_600_000_000 : Math.floor(Date.now() / 1000)),
  getLatestBlockhash: () => at({ blockhash: svm.latestBlockhash(), lastValidBlockHeight: height + 150 }),
  isBlockhashValid: ([hash]) => at(hash === svm.latestBlockhash()),
  getBalance: ([who]) => at(Number(svm.getBalance(address(who)) ?? 0n)),
  getAccountInfo: ([who]) => {
    const account = svm.getAccount(address(who));
    return at(!account.exists ? null : { data: [Buffer.from(account.data).toString('base64'), 'base64'],
      executable: account.executable, lamports: Number(account.lamports), owner: account.programAddress,
      rentEpoch: 0, space: account.data.length });
  },
  getTokenAccountBalance: ([who]) => {
    const account = svm.getAccount(address(who));
    if (!account.exists) throw new Refusal(-32602, 'Invalid param: could not find account');
    return at({ amount: String(held(Buffer.from(account.data)).amount), decimals: 6 });
  },
  simulateTransaction: ([text, config = {}]) => {
    const result = tried(wire(text), config);
    const failed = result instanceof FailedTransactionMetadata;
    const meta = result.meta();
    return at({ err: failed ? why(result) : null, logs: meta.logs(), unitsConsumed: Number(meta.computeUnitsConsumed()),
      accounts: null, returnData: null });
  },
  sendTransaction: ([text]) => {
    const how = fault;
    if (how === 'swallowed') return wire(text).name;
    fault = null;
    if (how === 'dropped') return wire(text).name;
    const name = send(text);
    if (how === 'lost') throw new Error('lost');
    return name;
  },
  getSignatureStatuses: ([names]) => at(names.map((name) => (landed.has(name) ? status(landed.get(name)) : null))),
  getSignaturesForAddress: ([who]) => [...landed].reverse().filter(([, sent]) => sent.accounts.includes(who))
    .map(([signature, sent]) => ({ signature, ...status(sent), blockTime: sent.time, memo: null })),
  getTransaction: ([name]) => {
    const sent = landed.get(name);
    return !sent ? null : { slot: sent.height, blockTime: sent.time, version: 0,
      transaction: [sent.bytes.toString('base64'), 'base64'],
      meta: { err: null, fee: 10_000, preTokenBalances: sent.before, postTokenBalances: sent.after } };
  },

  // Opens the wallet's USDC account with so many millionths of a dollar.
  test_fund: async ([owner, micros]) => {
    const [account] = await findAssociatedTokenPda({ owner: address(owner), mint: USDC, tokenProgram: TOKEN_PROGRAM_ADDRESS });
    const data = Buffer.alloc(165);
    data.set(encode.encode(USDC), 0);
    data.set(encode.encode(address(owner)), 32);
    data.writeBigUInt64LE(BigInt(micros), 64);
    data[108] = 1; // initialised
    put(account, data, TOKEN_PROGRAM_ADDRESS);
    return account;
  },
  test_lamports: ([who, amount]) => String(svm.airdrop(address(who), BigInt(amount)) ?? '') && null,
  // No transaction that was signed until now can land any more.
  test_age: () => { svm.expireBlockhash(); height += 151; return height; },
  // What happens to the next transaction. `lost`: it lands and nobody hears; `dropped`: it is taken and does not
  // land; `swallowed`: so are all that follow.
  test_fault: ([kind]) => { fault = kind; return kind; },
  test_drop: ([name]) => landed.delete(name),
  test_landed: () => [...landed.keys()],
  test_asked: () => asked,
};

async function answer({ id, method, params = [] }) {
  asked[method] = (asked[method] ?? 0) + 1;
  try {
    if (!methods[method]) throw new Refusal(-32601, `Method not found: ${method}`);
    return { jsonrpc: '2.0', id, result: await methods[method](params) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { jsonrpc: '2.0', id, error: { code: error.code, message: error.message, data: error.data } };
  }
}

const server = createServer(async (request, response) => {
  try {
    let text = '';
    for await (const chunk of request) text += chunk;
    const told = JSON.stringify(await answer(JSON.parse(text)), (_, v) => (typeof v === 'bigint' ? Number(v) : v));
    response.setHeader('Content-Type', 'application/json').end(told);
  } catch (error) {
    if (error.message !== 'lost') console.error(error);
    request.socket.destroy();
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
