// The vendor's TypeScript SDK, with what `dfns-keys exec` gives.
const { DfnsApiClient } = require('@dfns/sdk');
const { AsymmetricKeySigner } = require('@dfns/sdk-keysigner');

const { DFNS_API_URL, DFNS_AUTH_TOKEN, DFNS_CRED_ID, DFNS_PRIVATE_KEY, DFNS_ORG_ID } = process.env;

async function main() {
  const dfns = new DfnsApiClient({
    baseUrl: DFNS_API_URL,
    authToken: DFNS_AUTH_TOKEN,
    orgId: DFNS_ORG_ID,
    signer: new AsymmetricKeySigner({ credId: DFNS_CRED_ID, privateKey: DFNS_PRIVATE_KEY }),
  });
  await dfns.wallets.listWallets();
  const wallet = await dfns.wallets.createWallet({ body: { network: 'EthereumSepolia', name: 'Zoë — 日本' } });
  console.log(wallet.id);
}
main().catch((error) => {
  console.error(`refused: ${error.httpStatus} ${error.message}`);
  process.exit(1);
});
