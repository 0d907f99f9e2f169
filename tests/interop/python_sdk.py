"""The vendor's Python SDK, with what `dfns-keys exec` gives."""

import os
import sys

from dfns_sdk import DfnsClient, DfnsClientConfig, DfnsError, KeySigner


def main() -> None:
    signer = KeySigner(
        credential_id=os.environ["DFNS_CRED_ID"],
        private_key=os.environ["DFNS_PRIVATE_KEY"],
        app_origin=os.environ["DFNS_ORIGIN"],
    )
    config = DfnsClientConfig(
        auth_token=os.environ["DFNS_AUTH_TOKEN"], base_url=os.environ["DFNS_API_URL"], signer=signer
    )
    with DfnsClient(config) as dfns:
        dfns.wallets.list_wallets()
        print(dfns.wallets.create_wallet({"network": "EthereumSepolia", "name": "plain"})["id"])


try:
    main()
except DfnsError as error:
    sys.exit(f"refused: {error}")
