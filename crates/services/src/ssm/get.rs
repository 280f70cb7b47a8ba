//! GetParameter and GetParameters.

use longshore_api::ssm::{
    GetParameterRequest, GetParameterResult, GetParametersRequest, GetParametersResult, Parameter,
};
use longshore_model::State;
use longshore_model::parameter::ParameterVersion;
use longshore_wire::Fault;

use super::cipher::Holder;
use super::fault;
use super::name::{self, Reference};
use crate::Context;

/// How values are to be read.
pub struct Reader<'a> {
    holder: Holder<'a>,
    decrypt: bool,
}

/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `ValidationException` for what is no name.
pub fn one(context: &mut Context<'_>, request: GetParameterRequest) -> Result<GetParameterResult, Fault> {
    let wanted = name::parse(&context.place, &request.name.unwrap_or_default())?;
    let reader = Reader::of(context, request.with_decryption);
    let parameter = reader.read(&context.read(), &wanted)?;
    Ok(GetParameterResult { parameter: Some(parameter) })
}

/// What is not there, or not in that version, is listed as invalid, under the words of the request.
///
/// # Errors
/// `ValidationException` for names given twice.
pub fn several(context: &mut Context<'_>, request: GetParametersRequest) -> Result<GetParametersResult, Fault> {
    let names = request.names.unwrap_or_default();
    let reader = Reader::of(context, request.with_decryption);
    let state = context.read();
    let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
    for (index, text) in names.iter().enumerate() {
        if names[..index].contains(text) {
            continue;
        }
        match name::parse(&reader.holder.place, text).and_then(|wanted| reader.read(&state, &wanted)) {
            Ok(parameter) => parameters.push(parameter),
            Err(fault) if MISSING.contains(&fault.name) => invalid.push(text.clone()),
            Err(fault) => return Err(fault),
        }
    }
    Ok(GetParametersResult { parameters: Some(parameters), invalid_parameters: Some(invalid) })
}

/// Faults of one parameter that are none of all.
const MISSING: [&str; 3] = ["ParameterNotFound", "ParameterVersionNotFound", "ValidationException"];

impl<'a> Reader<'a> {
    pub fn of(context: &Context<'a>, decrypt: Option<bool>) -> Self {
        Self { holder: Holder::of(context), decrypt: decrypt.unwrap_or_default() }
    }

    /// The parameter that a request means.
    ///
    /// # Errors
    /// `ParameterNotFound`, `ParameterVersionNotFound`.
    pub fn read(&self, state: &State, wanted: &Reference) -> Result<Parameter, Fault> {
        let Holder { place, now, .. } = &self.holder;
        let head = name::find(state, place, wanted, *now).ok_or_else(fault::not_found)?;
        let row = name::version(state, place, head, wanted.selector.as_ref())?;
        let shown = self.show(state, row)?;
        Ok(Parameter { selector: wanted.selector.as_ref().map(name::Selector::text), ..shown })
    }

    /// A version as answers have it.
    ///
    /// # Errors
    /// Those of [`Holder::shown`].
    pub fn show(&self, state: &State, row: &ParameterVersion) -> Result<Parameter, Fault> {
        Ok(Parameter {
            name: Some(row.name.clone()),
            r#type: row.kind.parse().ok(),
            value: Some(self.holder.shown(state, row, self.decrypt)?),
            version: Some(row.number),
            last_modified_date: Some(row.modified_at),
            arn: Some(name::arn(&self.holder.place, &row.name)),
            data_type: Some(row.data_type.clone()),
            ..Parameter::default()
        })
    }
}
