//! What every account has from its first moment: a default VPC with its subnets and security group.

use longshore_model::{AccountId, Change};
use longshore_services::ec2;

use crate::Server;

/// Accounts that permissive mode makes on demand; an access key id beyond them names the configured account.
const MAX_ACCOUNTS: usize = 10_000;

impl Server {
    pub(crate) fn defaults(&self, account: &AccountId) -> Vec<Change> {
        ec2::defaults(account, &self.settings.region, &self.settings.zones)
    }

    /// Make the account's defaults if they are not there. Returns false when there are too many accounts.
    pub(crate) fn ensure_account(&self, account: &AccountId) -> bool {
        let mut known = self.accounts.lock();
        if known.contains(account) {
            return true;
        }
        if known.len() >= MAX_ACCOUNTS {
            return false;
        }
        let made = self.store.transact(|state, changes| {
            let prefix = format!("{account}/");
            if state.vpcs.scan(&prefix).next().is_none() {
                changes.extend(self.defaults(account));
            }
            Ok::<(), std::convert::Infallible>(())
        });
        known.insert(account.clone());
        made.is_ok()
    }
}
