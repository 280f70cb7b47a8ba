//! GetParameter and GetParameters.

use longshore_api::ssm::{
    GetParameterRequest, GetParameterResult, GetParametersRequest, GetParametersResult, Parameter,
};
use longshore_model::parameter::ParameterVersion;
use longshore_model::{Place, State};
use longshore_wire::{Fault, Timestamp};

use super::name::{self, Reference};
use super::{fault, value};
use crate::{Context, Vault};

/// How values are to be read.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub place: &'a Place,
    pub vault: &'a Vault,
    pub now: Timestamp,
    pub decrypt: bool,
}

/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `ValidationException` for what is no name.
pub fn one(context: &mut Context<'_>, request: GetParameterRequest) -> Result<GetParameterResult, Fault> {
    let place = context.place.clone();
    let wanted = name::parse(&place, &request.name.unwrap_or_default())?;
    let (vault, now) = (&context.settings.vault, context.now);
    let reader = Reader { place: &place, vault, now, decrypt: request.with_decryption.unwrap_or_default() };
    let parameter = reader.read(&context.read(), &wanted)?;
    Ok(GetParameterResult { parameter: Some(parameter) })
}

/// What is not there, or not in that version, is listed as invalid, under the words of the request.
///
/// # Errors
/// `ValidationException` for names given twice.
pub fn several(context: &mut Context<'_>, request: GetParametersRequest) -> Result<GetParametersResult, Fault> {
    let names = request.names.unwrap_or_default();
    let place = context.place.clone();
    let (vault, now) = (&context.settings.vault, context.now);
    let reader = Reader { place: &place, vault, now, decrypt: request.with_decryption.unwrap_or_default() };
    let state = context.read();
    let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
    for (index, text) in names.iter().enumerate() {
        if names[..index].contains(text) {
            continue;
        }
        match name::parse(&place, text).and_then(|wanted| reader.read(&state, &wanted)) {
            Ok(parameter) => parameters.push(parameter),
            Err(fault) if fault.sender => invalid.push(text.clone()),
            Err(fault) => return Err(fault),
        }
    }
    Ok(GetParametersResult { parameters: Some(parameters), invalid_parameters: Some(invalid) })
}

impl Reader<'_> {
    /// The parameter that a request means.
    ///
    /// # Errors
    /// `ParameterNotFound`, `ParameterVersionNotFound`.
    pub fn read(&self, state: &State, wanted: &Reference) -> Result<Parameter, Fault> {
        let head = name::find(state, self.place, wanted, self.now).ok_or_else(fault::not_found)?;
        let row = name::version(state, self.place, head, wanted.selector.as_ref())?;
        let shown = self.show(row)?;
        Ok(Parameter { selector: wanted.selector.as_ref().map(name::Selector::text), ..shown })
    }

    /// A version as answers have it.
    ///
    /// # Errors
    /// Those of [`value::shown`].
    pub fn show(&self, row: &ParameterVersion) -> Result<Parameter, Fault> {
        Ok(Parameter {
            name: Some(row.name.clone()),
            r#type: row.kind.parse().ok(),
            value: Some(value::shown(self.vault, row, self.decrypt)?),
            version: Some(row.number),
            last_modified_date: Some(row.modified_at),
            arn: Some(name::arn(self.place, &row.name)),
            data_type: Some(row.data_type.clone()),
            ..Parameter::default()
        })
    }
}
