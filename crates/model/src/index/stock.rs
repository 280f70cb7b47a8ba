//! How many secrets and how many bytes of secrets an account has.

use std::collections::HashMap;

use crate::secret::{Secret, SecretVersion};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    pub secrets: usize,
    /// Of all versions' values, as they are sealed.
    pub bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stocks {
    accounts: HashMap<String, Stock>,
}

impl Stocks {
    pub fn of(&self, account: &str) -> Stock {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    pub(crate) fn replace_secret(&mut self, old: Option<&Secret>, new: Option<&Secret>) {
        self.change(new.map(|new| &new.account), |stock| stock.secrets += 1);
        self.change(old.map(|old| &old.account), |stock| stock.secrets = stock.secrets.saturating_sub(1));
    }

    pub(crate) fn replace_version(&mut self, old: Option<&SecretVersion>, new: Option<&SecretVersion>) {
        let size = |version: Option<&SecretVersion>| version.map_or(0, SecretVersion::size);
        self.change(new.map(|new| &new.account), |stock| stock.bytes += size(new));
        self.change(old.map(|old| &old.account), |stock| stock.bytes = stock.bytes.saturating_sub(size(old)));
    }

    fn change(&mut self, account: Option<&String>, change: impl FnOnce(&mut Stock)) {
        let Some(account) = account else { return };
        let stock = self.accounts.entry(account.clone()).or_default();
        change(stock);
        if *stock == Stock::default() {
            self.accounts.remove(account);
        }
    }
}
