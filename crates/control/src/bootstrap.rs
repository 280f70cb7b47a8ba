//! What every account has from its first moment: a default VPC with its subnets and security group.

use longshore_model::{AccountId, Change};
use longshore_services::ec2;
use longshore_wire::Fault;

use crate::Server;

/// Accounts that permissive mode makes on demand; an access key id beyond them names the configured account.
const MAX_ACCOUNTS: usize = 10_000;

impl Server {
    pub(crate) fn defaults(&self, account: &AccountId) -> Vec<Change> {
        ec2::defaults(account, &self.settings.region, &self.settings.zones)
    }

    /// Make the account's defaults if they are not there.
    ///
    /// # Errors
    /// When there are too many accounts, or the disk has no space.
    pub(crate) fn ensure_account(&self, account: &AccountId) -> Result<(), Fault> {
        let mut known = self.accounts.lock();
        if known.get(account).is_some_and(|made| !self.store.is_undone(*made)) {
            return Ok(());
        }
        if known.len() >= MAX_ACCOUNTS {
            return Err(Fault::common("LimitExceededException", 400, "There are too many accounts"));
        }
        let ((), revision) = self.store.transact(|state, changes| {
            let prefix = format!("{account}/");
            if state.vpcs.scan(&prefix).next().is_none() {
                changes.extend(self.defaults(account));
            }
            Ok::<(), Fault>(())
        })?;
        known.insert(account.clone(), revision);
        Ok(())
    }
}
