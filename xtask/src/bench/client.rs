//! A blocking client for awsJson over one kept-alive connection: nothing between the clock and the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::signed::{self, Call, Key};

pub struct Client {
    stream: BufReader<TcpStream>,
    address: String,
    /// Signs what is sent; without it `account` says who calls.
    key: Option<Key>,
    /// Whom to speak for, which permissive mode reads off the access key.
    account: Option<String>,
    /// The server has said that it closes the connection.
    closing: bool,
}

fn open(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Client {
    pub fn connect(address: &str) -> Result<Self> {
        let address = address.to_owned();
        Ok(Self { stream: BufReader::new(open(&address)?), address, key: None, account: None, closing: false })
    }

    /// Sign every call.
    pub fn signing(self, key: Key) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Speak for an account, which permissive mode reads off the access key.
    pub fn speaking_for(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), key: None, ..self }
    }

    /// Lines of the head that say who calls.
    fn credential(&self, service: &str) -> String {
        let Some(account) = &self.account else { return String::new() };
        format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={account}/20260101/us-east-1/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={}\r\nX-Amz-Date: 20260101T000000Z\r\n",
            "0".repeat(64)
        )
    }

    /// Sends a request, over a new connection if the last answer ended the old one.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if std::mem::take(&mut self.closing) {
            self.stream = BufReader::new(open(&self.address)?);
        }
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    pub fn ecs(&mut self, operation: &str, input: &Value) -> Result<Value> {
        self.call("ecs", "AmazonEC2ContainerServiceV20141113", operation, input)
    }

    pub fn ecr(&mut self, operation: &str, input: &Value) -> Result<Value> {
        self.call("ecr", "AmazonEC2ContainerRegistry_V20150921", operation, input)
    }

    fn call(&mut self, service: &str, prefix: &str, operation: &str, input: &Value) -> Result<Value> {
        let body = input.to_string();
        let target = format!("{prefix}.{operation}");
        let content_type = "application/x-amz-json-1.1";
        self.post_call(&Call { address: "", service, content_type, target: Some(&target) }, &body)?;
        let (status, body) = self.read_answer()?;
        if status != 200 {
            bail!("{operation} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Send a call to this client's address, signed if there is a key.
    fn post_call(&mut self, call: &Call<'_>, body: &str) -> Result<()> {
        let request = match &self.key {
            Some(key) => signed::request(key, &Call { address: &self.address, ..*call }, body)?,
            None => self.unsigned(call, body),
        };
        self.send(&request)
    }

    fn unsigned(&self, call: &Call<'_>, body: &str) -> Vec<u8> {
        let target = call.target.map(|target| format!("X-Amz-Target: {target}\r\n")).unwrap_or_default();
        let (address, content_type, credential) = (&self.address, call.content_type, self.credential(call.service));
        format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\n{target}Content-Type: {content_type}\r\n{credential}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// The status of a page.
    pub fn get(&mut self, path: &str) -> Result<u16> {
        Ok(self.plain("GET", path)?.0)
    }

    /// The text of a page.
    pub fn page(&mut self, path: &str) -> Result<String> {
        Ok(String::from_utf8(self.plain("GET", path)?.1)?)
    }

    /// # Errors
    /// If the answer is not 200.
    pub fn post(&mut self, path: &str) -> Result<()> {
        match self.plain("POST", path)?.0 {
            200 => Ok(()),
            status => bail!("{path} answered {status}"),
        }
    }

    fn plain(&mut self, method: &str, path: &str) -> Result<(u16, Vec<u8>)> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.address);
        self.send(head.as_bytes())?;
        self.read_answer()
    }

    /// EC2's answer, as text.
    pub fn ec2(&mut self, action: &str) -> Result<String> {
        self.query("ec2", &format!("Action={action}&Version=2016-11-15"))
    }

    /// IAM's answer to a form, as text.
    pub fn iam(&mut self, form: &str) -> Result<String> {
        self.query("iam", &format!("{form}&Version=2010-05-08"))
    }

    /// A query protocol's answer to a form.
    fn query(&mut self, service: &str, form: &str) -> Result<String> {
        let content_type = "application/x-www-form-urlencoded";
        self.post_call(&Call { address: "", service, content_type, target: None }, form)?;
        let (status, body) = self.read_answer()?;
        let text = String::from_utf8(body)?;
        if status != 200 {
            bail!("{service} answered {status}: {text}");
        }
        Ok(text)
    }

    /// A Fargate task definition of one container that sleeps, and the RunTask input for it.
    pub fn sleeper(&mut self, count: i32) -> Result<Value> {
        self.ecs("CreateCluster", &json!({ "clusterName": "bench" }))?;
        self.ecs(
            "RegisterTaskDefinition",
            &json!({
                "family": "sleeper", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
                "cpu": "256", "memory": "512",
                "containerDefinitions": [{
                    "name": "main", "image": "busybox:latest", "command": ["sleep", "3600"],
                    "cpu": 256, "memory": 512, "stopTimeout": 2
                }],
            }),
        )?;
        Ok(json!({
            "cluster": "bench", "taskDefinition": "sleeper", "launchType": "FARGATE", "count": count,
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": self.subnets()? } },
        }))
    }

    /// A task definition of the example's web server, and the RunTask input for it.
    pub fn web(&mut self) -> Result<Value> {
        self.ecs(
            "RegisterTaskDefinition",
            &json!({
                "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
                "cpu": "256", "memory": "512",
                "containerDefinitions": [{
                    "name": "web", "image": "my-web-app:latest", "portMappings": [{ "containerPort": 80 }],
                    "stopTimeout": 2
                }],
            }),
        )?;
        Ok(json!({
            "cluster": "bench", "taskDefinition": "web", "launchType": "FARGATE", "count": 1,
            "networkConfiguration": {
                "awsvpcConfiguration": { "subnets": self.subnets()?, "assignPublicIp": "ENABLED" }
            },
        }))
    }

    /// The public address of a network interface: the one at which this machine reaches a task.
    pub fn public_address(&mut self, interface: &str) -> Result<String> {
        let answer = self.ec2(&format!("DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}"))?;
        let found = answer.split("<publicIp>").nth(1).and_then(|rest| rest.split('<').next());
        Ok(found.with_context(|| format!("{interface} has no public address: {answer}"))?.to_owned())
    }

    /// The subnets of the account's default VPC.
    fn subnets(&mut self) -> Result<Vec<String>> {
        let answer = self.ec2("DescribeSubnets")?;
        let found = answer.split("<subnetId>").skip(1).filter_map(|rest| rest.split('<').next());
        Ok(found.map(str::to_owned).collect())
    }

    fn read_answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "connection" => self.closing = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}
