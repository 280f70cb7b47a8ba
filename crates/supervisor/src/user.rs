//! Who a container runs as: the image's or the task definition's `user` string, looked up in the container's own
//! `/etc/passwd` and `/etc/group`.
//!
//! Forms: empty (root), `user`, `uid`, `user:group`, `uid:gid` and mixtures. A number need not be listed; a name must.
//! With no group given, the group is the one of the passwd line (else 0) and all groups listing the user are added.

use crate::error::{Error, Result};
use crate::rootfs::Root;

/// Ids as the kernel takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, without `gid`.
    pub additional_gids: Vec<u32>,
    pub home: String,
}

/// Ids above this are refused, as Docker does.
const LARGEST_ID: u32 = i32::MAX as u32;

/// Looks a user string up in a root file system.
pub fn resolve(root: &Root, user: &str) -> Result<User> {
    let passwd = root.read("/etc/passwd")?.unwrap_or_default();
    let group = root.read("/etc/group")?.unwrap_or_default();
    lookup(user, &passwd, &group).map_err(Error::Parameter)
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

fn lookup(user: &str, passwd: &[u8], group: &[u8]) -> std::result::Result<User, String> {
    let (who, which) = match user.split_once(':') {
        Some((who, which)) => (who, Some(which).filter(|text| !text.is_empty())),
        None => (user, None),
    };
    let who = if who.is_empty() { "0" } else { who };
    let account = find_account(passwd, who);
    let uid = match (&account, id(who)) {
        (Some(account), _) => account.uid,
        (None, Some(uid)) => uid,
        (None, None) => {
            return Err(format!("unable to find user {who}: no matching entries in passwd file"));
        }
    };
    let gid = match which {
        Some(which) => find_gid(group, which)?,
        None => account.as_ref().map_or(0, |account| account.gid),
    };
    let name = account.as_ref().map(|account| account.name.as_str());
    let additional_gids = match (which, name) {
        (None, Some(name)) => groups_of(group, name).into_iter().filter(|&other| other != gid).collect(),
        _ => Vec::new(),
    };
    let home = account.map_or_else(|| "/".to_string(), |account| account.home);
    Ok(User { uid, gid, additional_gids, home })
}

/// A name wins over a number, as a user may be called `1000`.
fn find_account(passwd: &[u8], who: &str) -> Option<Account> {
    let accounts = || fields(passwd).filter_map(|line| account(&line));
    accounts().find(|a| a.name == who).or_else(|| {
        let uid = id(who)?;
        accounts().find(|a| a.uid == uid)
    })
}

fn account(line: &[String]) -> Option<Account> {
    let home = line.get(5).filter(|home| !home.is_empty()).cloned().unwrap_or_else(|| "/".into());
    Some(Account { name: line.first()?.clone(), uid: id(line.get(2)?)?, gid: id(line.get(3)?)?, home })
}

fn find_gid(group: &[u8], which: &str) -> std::result::Result<u32, String> {
    let named = fields(group).find(|line| line.first().is_some_and(|name| name == which));
    let listed = named.and_then(|line| id(line.get(2)?));
    listed
        .or_else(|| id(which))
        .ok_or_else(|| format!("unable to find group {which}: no matching entries in group file"))
}

fn groups_of(group: &[u8], name: &str) -> Vec<u32> {
    let lists = |line: &Vec<String>| line.get(3).is_some_and(|members| members.split(',').any(|m| m == name));
    fields(group).filter(lists).filter_map(|line| id(line.get(2)?)).collect()
}

fn fields(content: &[u8]) -> impl Iterator<Item = Vec<String>> + '_ {
    let lines = content.split(|&byte| byte == b'\n').filter(|line| line.len() < 4096);
    let texts = lines.filter_map(|line| std::str::from_utf8(line).ok()).map(str::trim);
    texts.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|l| l.split(':').map(str::to_string).collect())
}

fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| digits && id <= LARGEST_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# no\n\nbad line\nweb:x:101:102::/srv/web:/bin/false\n\
        1000:x:7:8::/named:/bin/sh\nhuge:x:4294967296:0::/:/bin/sh\n";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:102:\nlogs:x:200:web,other\nssl:x:201:web\n";

    #[test]
    fn user_strings() {
        type Ids<'a> = (u32, u32, &'a [u32], &'a str);
        let rows: &[(&str, Option<Ids>)] = &[
            ("", Some((0, 0, &[], "/root"))),
            ("root", Some((0, 0, &[], "/root"))),
            ("web", Some((101, 102, &[200, 201], "/srv/web"))),
            ("101", Some((101, 102, &[200, 201], "/srv/web"))),
            ("web:logs", Some((101, 200, &[], "/srv/web"))),
            ("web:5", Some((101, 5, &[], "/srv/web"))),
            ("65534", Some((65534, 0, &[], "/"))),
            ("65534:65533", Some((65534, 65533, &[], "/"))),
            ("1000", Some((7, 8, &[], "/named"))),
            (":web", Some((0, 102, &[], "/root"))),
            ("nobody", None),
            ("web:nogroup", None),
            ("4294967296", None),
            ("2147483648", None),
            ("../x", None),
            ("-1", None),
            ("+1", None),
            ("huge", None),
        ];
        for (text, expected) in rows {
            let found = lookup(text, PASSWD, GROUP).ok();
            let found = found.as_ref().map(|u| (u.uid, u.gid, u.additional_gids.as_slice(), u.home.as_str()));
            assert_eq!(found, *expected, "user {text:?}");
        }
    }

    #[test]
    fn endless_lines_do_no_harm() {
        let mut passwd = vec![b'a'; 1 << 20];
        passwd.extend_from_slice(b"\nweb:x:1:2::/:/bin/sh\n");
        assert_eq!(lookup("web", &passwd, b"").unwrap().uid, 1);
    }
}
